"""What `ads` asks: the resources of one proxy in one snapshot. Keeps what is still good of earlier ones."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mesh.model import Proxy, ProxyKind
from mesh.pilot.compile.clusters import clusters
from mesh.pilot.compile.endpoints import endpoints
from mesh.pilot.compile.listeners.gateway import gateway_listeners
from mesh.pilot.compile.listeners.inbound import server_scope, virtual_inbound
from mesh.pilot.compile.listeners.outbound import outbound_listeners
from mesh.pilot.compile.routes.gateway import gateway_routes
from mesh.pilot.compile.routes.outbound import sidecar_routes
from mesh.pilot.compile.secrets import secrets
from mesh.pilot.memo import Memo
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Scope, scope_of
from mesh.pilot.snapshot import Snapshot
from mesh.pilot.types import CDS, EDS, LDS, RDS, SDS, Resource

Resources = Mapping[str, Resource]


class Compiler:
    """Compiles resources, each once for all proxies that see the same thing.

    Answers for any snapshot; quickly for the newest that it has seen and its predecessor. As long as nothing
    that a proxy sees has changed, the very same mapping is given again, so comparing costs nothing. What it
    gives must not be changed. For one event loop.
    """

    def __init__(self) -> None:
        self._memo = Memo(Reader)

    def __repr__(self) -> str:
        return f"<Compiler {self._memo!r}>"

    def all(self, snapshot: Snapshot, proxy: Proxy, type_url: str) -> Resources:
        """All listeners or clusters of a proxy; nothing of other types."""
        scope = self._scope(snapshot, proxy)
        if type_url == LDS:
            return self._ask(snapshot, listeners, scope)
        if type_url == CDS:
            return self._ask(snapshot, clusters, scope)
        return {}

    def named(self, snapshot: Snapshot, proxy: Proxy, type_url: str, names: Iterable[str]) -> Resources:
        """Routes, endpoints or secrets by name; one that does not exist is absent."""
        if type_url == SDS:
            return self._ask(snapshot, secrets, proxy, frozenset(names))
        scope = self._scope(snapshot, proxy)
        if type_url == RDS:
            return self._ask(snapshot, routes, scope, frozenset(names))
        if type_url == EDS:
            return self._ask(snapshot, endpoints, scope.client, scope.locality, frozenset(names))
        return {}

    def query(self, snapshot: Snapshot, query: Callable[..., Any], *args: Any) -> Any:
        """What a query gives for a snapshot, for reports; it must be one of `Reader`'s."""
        return self._memo.value(snapshot, query, *args)

    def statistics(self) -> dict[str, int]:
        """How many results were compiled and reused since the start, and how many are remembered."""
        return self._memo.statistics()

    def _scope(self, snapshot: Snapshot, proxy: Proxy) -> Scope:
        scope: Scope = self._memo.value(snapshot, scope_of, proxy)
        return scope

    def _ask(self, snapshot: Snapshot, query: object, *args: object) -> Resources:
        found: Resources = self._memo.value(snapshot, query, *args)  # type: ignore[arg-type]
        return found


def listeners(read: Reader, scope: Scope) -> Resources:
    """All listeners of a proxy."""
    if scope.kind is ProxyKind.ROUTER:
        return read.ask(gateway_listeners, scope)
    inbound = read.ask(virtual_inbound, server_scope(scope))
    return {**read.ask(outbound_listeners, scope.client, scope.client_side), inbound.name: inbound}


def routes(read: Reader, scope: Scope, names: frozenset[str]) -> Resources:
    """The route configurations that a proxy asks for by name."""
    if scope.kind is ProxyKind.ROUTER:
        found = ((name, read.ask(gateway_routes, scope, name)) for name in sorted(names))
    else:
        found = ((name, read.ask(sidecar_routes, scope.client, name)) for name in sorted(names))
    return {name: each for name, each in found if each is not None}
