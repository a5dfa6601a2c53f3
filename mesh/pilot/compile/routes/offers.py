"""What a route has its cluster offer when TLS begins.

A cluster of unknown protocol carries HTTP and all else, so its own offer cannot say that it is HTTP; the
sidecar of the server needs to know that before it decrypts. So the routes that lead there say it.
"""

from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2
from envoy.extensions.filters.http.set_filter_state.v3 import set_filter_state_pb2
from google.protobuf.any_pb2 import Any

from mesh.model import Protocol
from mesh.pilot.compile.destination import merged
from mesh.pilot.compile.messages import packed
from mesh.pilot.compile.transport import MESH
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Client
from mesh.pilot.visibility import destination_rules

NAME = "envoy.filters.http.set_filter_state"
KEY = "envoy.network.application_protocols"
Config = set_filter_state_pb2.Config


def offered() -> Any:
    """The filter's configuration: HTTP between sidecars, whichever."""
    text = substitution_format_string_pb2.SubstitutionFormatString()
    text.text_format_source.inline_string = f"istio-http/1.1,{MESH}"
    return packed(Config(on_request_headers=[value_pb2.FilterStateValue(object_key=KEY, format_string=text)]))


def offer(
    read: Reader,
    route: route_components_pb2.Route | route_components_pb2.WeightedCluster.ClusterWeight,
    client: Client | None,
    hostname: str,
    port: int,
    subset: str = "",
) -> None:
    """Make a route to a service port offer HTTP, if its cluster does not by itself.

    Without `client` no DestinationRule is looked at.
    """
    service = read.service(hostname)
    found = service.port(port) if service else None
    if service is None or found is None or found.protocol is not Protocol.AUTO or service.mesh_external:
        return
    rules = read.ask(destination_rules, client, hostname) if client else ()
    tls = read.ask(merged, rules).settings(port, subset).tls
    if tls is None or tls.mode == "ISTIO_MUTUAL":
        route.typed_per_filter_config[NAME].CopyFrom(offered())
