"""The filter that handles HTTP, and the HTTP filters in it."""

from collections.abc import Iterable

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.http.set_filter_state.v3 import set_filter_state_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from mesh.api.meshconfig import MeshConfig
from mesh.pilot.compile.listeners.access_logs import http_logs
from mesh.pilot.compile.messages import flag, from_pilot, packed
from mesh.pilot.compile.routes.filters import CORS, FAULT
from mesh.pilot.compile.routes.offers import NAME as OFFERS
from mesh.pilot.compile.tracing import trace
from mesh.pilot.observed import Observed

Manager = http_connection_manager_pb2.HttpConnectionManager
Filter = listener_components_pb2.Filter

Guards = Iterable[http_connection_manager_pb2.HttpFilter]
"""HTTP filters that decide whether a request may pass."""

Replies = Iterable[http_connection_manager_pb2.ResponseMapper]
"""What Envoy's own answers say, by their reasons."""

NAME = "envoy.filters.network.http_connection_manager"
ROUTER = "envoy.filters.http.router"


def manager(
    observed: Observed, stat_prefix: str, guards: Guards = (), further: Guards = ()
) -> http_connection_manager_pb2.HttpConnectionManager:
    """What all of the mesh's HTTP filters have in common; routes are still to be set. `guards` go before the
    filters of routes, `further` behind them.
    """
    result = Manager(
        stat_prefix=stat_prefix,
        http_filters=[
            *guards,
            http_filter(FAULT, fault_pb2.HTTPFault()),
            http_filter(CORS, cors_pb2.Cors()),
            *further,
            http_filter(ROUTER, router_pb2.Router()),
        ],
        access_log=http_logs(observed.logs),
        normalize_path=flag(True),
        stream_idle_timeout=Duration(),
        upgrade_configs=[Manager.UpgradeConfig(upgrade_type="websocket")],
    )
    trace(result, observed.tracing)
    return result


def offers() -> http_connection_manager_pb2.HttpFilter:
    """Lets routes say what is offered when TLS begins."""
    return http_filter(OFFERS, set_filter_state_pb2.Config())


def http_filter(name: str, config: Message) -> http_connection_manager_pb2.HttpFilter:
    """One HTTP filter."""
    return http_connection_manager_pb2.HttpFilter(name=name, typed_config=packed(config))


def outbound(observed: Observed, address: str, port: int, route_name: str) -> listener_components_pb2.Filter:
    """For requests of the workload beside a sidecar."""
    result = manager(observed, f"outbound_{address}_{port}", further=(offers(),))
    result.use_remote_address.value = False
    result.rds.CopyFrom(rds(route_name))
    return finished(result)


def inbound(
    observed: Observed,
    port: int,
    routes: route_pb2.RouteConfiguration,
    guards: Guards = (),
    replies: Replies = (),
) -> listener_components_pb2.Filter:
    """For requests to the workload beside a sidecar."""
    result = manager(observed, f"inbound_0.0.0.0_{port};", guards)
    result.use_remote_address.value = False
    result.server_name = "istio-envoy"
    result.forward_client_cert_details = Manager.APPEND_FORWARD
    tell_caller(result)
    say(result, replies)
    result.route_config.CopyFrom(routes)
    return finished(result)


def gateway(
    mesh: MeshConfig,
    observed: Observed,
    address: str,
    port: int,
    route_name: str,
    guards: Guards = (),
    replies: Replies = (),
) -> listener_components_pb2.Filter:
    """For requests from outside: nothing that they say of where they come from is believed."""
    result = manager(observed, f"outbound_{address}_{port}", guards, (offers(),))
    result.use_remote_address.value = True
    result.server_name = "istio-envoy"
    result.forward_client_cert_details = certificate_details(mesh)
    tell_caller(result)
    say(result, replies)
    result.set_current_client_cert_details.cert = True
    result.rds.CopyFrom(rds(route_name))
    return finished(result)


def say(manager: http_connection_manager_pb2.HttpConnectionManager, replies: Replies) -> None:
    """Let Envoy's own answers have these words."""
    for each in replies:
        manager.local_reply_config.mappers.append(each)


def certificate_details(mesh: MeshConfig) -> Manager.ForwardClientCertDetails.ValueType:
    """What gateways do with X-Forwarded-Client-Cert: by default what callers say of it is dropped.

    Source: Istio, `defaultConfig.gatewayTopology.forwardClientCertDetails` of the mesh's settings.
    """
    topology = (mesh.default_config.model_extra or {}).get("gatewayTopology") or {}
    wanted = topology.get("forwardClientCertDetails", "SANITIZE_SET")
    known = Manager.ForwardClientCertDetails.keys()
    return Manager.ForwardClientCertDetails.Value(wanted if wanted in known else "SANITIZE_SET")


def tell_caller(manager: http_connection_manager_pb2.HttpConnectionManager) -> None:
    """Name the caller, by its certificate, in X-Forwarded-Client-Cert."""
    manager.set_current_client_cert_details.subject.value = True
    manager.set_current_client_cert_details.uri = True
    manager.set_current_client_cert_details.dns = True


def rds(route_name: str) -> http_connection_manager_pb2.Rds:
    """Routes that Pilot sends under a name."""
    return http_connection_manager_pb2.Rds(route_config_name=route_name, config_source=from_pilot())


def finished(config: http_connection_manager_pb2.HttpConnectionManager) -> listener_components_pb2.Filter:
    """The network filter."""
    return Filter(name=NAME, typed_config=packed(config))
