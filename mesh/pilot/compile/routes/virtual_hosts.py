"""Virtual hosts, serialized piece by piece, so that a route configuration of hundreds of services is put
together anew by joining bytes when one of them changes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from mesh.model import ObjectKey
from mesh.pilot.compile.messages import field, flag, resource, wire
from mesh.pilot.types import RDS, Resource

VirtualHost = route_components_pb2.VirtualHost
VIRTUAL_HOSTS = route_pb2.RouteConfiguration.VIRTUAL_HOSTS_FIELD_NUMBER
BODY_LIMIT = 1024 * 1024
"""Bytes of a direct response's body."""


@dataclass(frozen=True, slots=True)
class Host:
    """A virtual host: `content` is all of it but name and domains, as bytes."""

    name: str
    domains: tuple[str, ...]
    content: bytes
    origins: tuple[ObjectKey, ...] = ()

    def payload(self) -> bytes:
        """The whole message's bytes: two serialized parts, joined, are one message."""
        return wire(VirtualHost(name=self.name, domains=self.domains)) + self.content


def host(
    name: str,
    domains: Iterable[str],
    routes: Iterable[route_components_pb2.Route],
    *,
    origins: Iterable[ObjectKey] = (),
    tls_only: bool = False,
) -> Host:
    """A virtual host from its routes."""
    content = VirtualHost(routes=routes, include_request_attempt_count=True)
    if tls_only:
        content.require_tls = VirtualHost.ALL
    return Host(name, tuple(domains), wire(content), tuple(origins))


def unique(hosts: Iterable[Host]) -> Iterator[Host]:
    """The hosts, each domain only with the first that has it: Envoy refuses a domain that comes twice.

    A host's own full name stays its own, whoever else claims it as a short name.
    """
    every = list(hosts)
    own = {each.domains[0] for each in every if each.domains}
    seen: set[str] = set()
    for each in every:
        kept = [d for i, d in enumerate(each.domains) if d not in seen and (i == 0 or d not in own)]
        seen.update(kept)
        if len(kept) == len(each.domains):
            yield each
        elif kept:
            yield replace(each, domains=tuple(kept))


def configuration(name: str, hosts: Iterable[Host], origins: Iterable[ObjectKey] = ()) -> Resource:
    """A route configuration of these virtual hosts."""
    head = route_pb2.RouteConfiguration(
        name=name,
        validate_clusters=flag(False),
        ignore_port_in_host_matching=True,
        max_direct_response_body_size_bytes=UInt32Value(value=BODY_LIMIT),
    )
    every = list(hosts)
    payload = wire(head) + b"".join(field(VIRTUAL_HOSTS, each.payload()) for each in every)
    sources = (key for each in every for key in each.origins)
    return resource(RDS, name, payload, origins=(*origins, *sources))
