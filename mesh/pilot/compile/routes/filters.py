"""What a route tells HTTP filters: faults on purpose, and cross-origin sharing."""

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.common.fault.v3 import fault_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2 as http_fault_pb2
from google.rpc import code_pb2

from mesh.api.networking.cors import CorsPolicy
from mesh.api.networking.faults import Abort, Delay, HTTPFaultInjection
from mesh.pilot.compile.messages import flag, packed, seconds
from mesh.pilot.compile.routes.texts import percent, text

FAULT = "envoy.filters.http.fault"
CORS = "envoy.filters.http.cors"


def configure(
    route: route_components_pb2.Route, fault: HTTPFaultInjection | None, cors: CorsPolicy | None
) -> None:
    """Give the route's filters their configuration."""
    if fault is not None:
        route.typed_per_filter_config[FAULT].CopyFrom(packed(http_fault(fault)))
    if cors is not None:
        route.typed_per_filter_config[CORS].CopyFrom(packed(cors_policy(cors)))


def http_fault(fault: HTTPFaultInjection) -> http_fault_pb2.HTTPFault:
    """Delays and errors on purpose."""
    result = http_fault_pb2.HTTPFault()
    if fault.delay is not None:
        result.delay.CopyFrom(delay(fault.delay))
    if fault.abort is not None:
        result.abort.CopyFrom(abort(fault.abort))
    return result


def delay(fault: Delay) -> fault_pb2.FaultDelay:
    """How long a share of the requests is held back."""
    whole = 100.0 if fault.percent is None else float(fault.percent)
    value = fault.percentage.value if fault.percentage else whole
    return fault_pb2.FaultDelay(fixed_delay=seconds(fault.fixed_delay), percentage=percent(value))


def abort(fault: Abort) -> http_fault_pb2.FaultAbort:
    """What a share of the requests is answered with."""
    value = fault.percentage.value if fault.percentage else 100.0
    result = http_fault_pb2.FaultAbort(percentage=percent(value))
    if fault.grpc_status is not None:
        result.grpc_status = grpc_status(fault.grpc_status)
    elif fault.http_status is not None:
        result.http_status = fault.http_status
    return result


def grpc_status(name: str) -> int:
    """The number of a gRPC status, which rules write as a name; 2 (UNKNOWN) for what is none."""
    if name.isdecimal():
        return int(name)
    return code_pb2.Code.Value(name) if name in code_pb2.Code.keys() else code_pb2.UNKNOWN  # noqa: SIM118


def cors_policy(cors: CorsPolicy) -> cors_pb2.CorsPolicy:
    """Cross-origin sharing; preflights of other origins are passed on unless the rule ignores them."""
    result = cors_pb2.CorsPolicy(
        allow_origin_string_match=[text(each) for each in cors.allow_origins],
        allow_methods=",".join(cors.allow_methods),
        allow_headers=",".join(cors.allow_headers),
        expose_headers=",".join(cors.expose_headers),
        forward_not_matching_preflights=flag(cors.unmatched_preflights != "IGNORE"),
        filter_enabled=base_pb2.RuntimeFractionalPercent(default_value=percent(100)),
    )
    if cors.max_age is not None:
        result.max_age = str(int(cors.max_age))
    if cors.allow_credentials is not None:
        result.allow_credentials.value = cors.allow_credentials
    return result
