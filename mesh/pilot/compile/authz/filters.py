"""The filters of a place, in Istio's order of evaluation: CUSTOM, AUDIT (which only notes), DENY, ALLOW."""

from collections.abc import Iterator

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.model import ConfigObject, Labels
from mesh.pilot.compile.authz import custom, rbac
from mesh.pilot.compile.authz.selection import of_action, policies
from mesh.pilot.reader import Reader

ORDER = ("AUDIT", "DENY", "ALLOW")


def http(read: Reader, namespace: str, labels: Labels) -> tuple[http_connection_manager_pb2.HttpFilter, ...]:
    """For requests."""
    every = policies(read, namespace, labels)
    return (
        *(each for one in asked(read, every, tcp=False) for each in one.http()),
        *(each for one in built(read, every, tcp=False) for each in rbac.http(one)),
    )


def tcp(read: Reader, namespace: str, labels: Labels) -> tuple[listener_components_pb2.Filter, ...]:
    """For connections that are not HTTP."""
    every = policies(read, namespace, labels)
    return (
        *(each for one in asked(read, every, tcp=True) for each in one.tcp()),
        *(each for one in built(read, every, tcp=True) for each in rbac.tcp(one)),
    )


def asked(read: Reader, every: tuple[ConfigObject, ...], *, tcp: bool) -> Iterator[custom.Pair]:
    """The rules of all providers that are asked."""
    return custom.pairs(read, of_action(every, "CUSTOM"), domains(read), tcp=tcp)


def built(read: Reader, every: tuple[ConfigObject, ...], *, tcp: bool) -> list[rbac.Built]:
    """The rules of all actions that Envoy decides itself."""
    chosen = ((action, of_action(every, action)) for action in ORDER)
    return [rbac.built(action, some, domains(read), tcp=tcp) for action, some in chosen if some]


def domains(read: Reader) -> tuple[str, ...]:
    """The mesh's trust domain and its aliases."""
    return tuple(dict.fromkeys((read.mesh.trust_domain, *read.mesh.trust_domain_aliases)))
