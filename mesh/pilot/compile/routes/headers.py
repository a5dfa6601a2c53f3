"""Header operations of rules as Envoy's, on routes and on weighted destinations alike."""

from collections.abc import Iterable, Mapping

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2

from mesh.api.networking.headers import HeaderOperations, Headers

Option = base_pb2.HeaderValueOption
Holder = route_components_pb2.Route | route_components_pb2.WeightedCluster.ClusterWeight
AUTHORITY = (":authority", "host")


def operate(holder: Holder, headers: Headers | None) -> None:
    """Add the operations to a route or weighted destination."""
    if headers is None:
        return
    request, response = headers.request, headers.response
    if request is not None:
        holder.request_headers_to_add.extend(additions(request))
        holder.request_headers_to_remove.extend(ordinary(request.remove))
    if response is not None:
        holder.response_headers_to_add.extend(additions(response))
        holder.response_headers_to_remove.extend(ordinary(response.remove))


def authority(headers: Headers | None) -> str:
    """The authority that header operations set; Envoy wants it as a rewrite of the host. Empty if none."""
    if headers is None or headers.request is None:
        return ""
    both = {**headers.request.add, **headers.request.set}
    return next((value for name, value in both.items() if name.lower() in AUTHORITY), "")


def additions(operations: HeaderOperations) -> list[base_pb2.HeaderValueOption]:
    """Headers to set, then those to add."""
    return [
        *_options(operations.set, Option.OVERWRITE_IF_EXISTS_OR_ADD),
        *_options(operations.add, Option.APPEND_IF_EXISTS_OR_ADD),
    ]


def ordinary(names: Iterable[str]) -> list[str]:
    """Those that Envoy lets be changed: not the pseudo-headers, nor the host."""
    return [name for name in names if not name.startswith(":") and name.lower() != "host"]


def _options(
    values: Mapping[str, str], action: base_pb2.HeaderValueOption.HeaderAppendAction.ValueType
) -> list[base_pb2.HeaderValueOption]:
    return [
        Option(header=base_pb2.HeaderValue(key=name, value=values[name]), append_action=action)
        for name in ordinary(sorted(values))
    ]
