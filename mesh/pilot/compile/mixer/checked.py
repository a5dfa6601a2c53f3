"""What becomes of Mixer's rules at a place where HTTP is spoken."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.pilot.compile.mixer import external


@dataclass(frozen=True, slots=True)
class Checked:
    """`filters` stand before those of routes; `replies` give refusals their words; `extensions` go along
    with questions to istio-policy.
    """

    filters: tuple[http_connection_manager_pb2.HttpFilter, ...] = ()
    replies: tuple[http_connection_manager_pb2.ResponseMapper, ...] = ()
    extensions: Mapping[str, str] = field(default_factory=dict)

    def tell(self, host: route_components_pb2.VirtualHost) -> None:
        """Let questions about requests to a virtual host say where they come from."""
        if self.extensions:
            external.told(host, self.extensions)
