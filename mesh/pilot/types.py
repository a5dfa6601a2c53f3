"""What compilation gives and the protocol carries: type URLs of xDS and prepared resources."""

from dataclasses import dataclass, field

from mesh.model import ObjectKey

LDS = "type.googleapis.com/envoy.config.listener.v3.Listener"
RDS = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
EDS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
SDS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource ready to be sent.

    `payload` is the serialized message itself (not an `Any`; in no `repr`, for it may be secret), `version` a
    hash of it, so that equal content has an equal version, after a restart too. `origins` are the objects
    that it was made from. `waits_for` names what Envoy needs beside it before it is used: type URL and name.
    """

    name: str
    type_url: str
    version: str
    payload: bytes = field(repr=False)
    origins: tuple[ObjectKey, ...] = ()
    waits_for: frozenset[tuple[str, str]] = frozenset()
