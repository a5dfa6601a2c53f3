"""What a proxy shall have, as the compiler says it: the protocol's `View` on one snapshot."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mesh.model import Proxy, ProxyKind
from mesh.pilot.ads.watch import FULL_STATE
from mesh.pilot.types import EDS, RDS, SDS, Resource


class Snapshot(Protocol):
    """As much of a snapshot as `ads` knows: its number."""

    @property
    def version(self) -> int:
        """Grows with each snapshot."""
        ...


class Compiler(Protocol):
    """What makes resources of a snapshot. Pure; called from the event loop, so it must be quick."""

    def all(self, snapshot: Any, proxy: Proxy, type_url: str) -> Mapping[str, Resource]:
        """All listeners or clusters of a proxy."""
        ...

    def named(
        self, snapshot: Any, proxy: Proxy, type_url: str, names: Iterable[str]
    ) -> Mapping[str, Resource]:
        """Routes, endpoints or secrets by name; one that does not exist is absent."""
        ...


@dataclass(frozen=True, slots=True)
class CompiledView:
    """One snapshot as one proxy sees it. Types that nobody compiles have no resources."""

    compiler: Compiler
    snapshot: Snapshot
    proxy: Proxy

    @property
    def version(self) -> int:
        """The snapshot's number."""
        return self.snapshot.version

    def resources(self, type_url: str, wildcard: bool, names: Collection[str]) -> Mapping[str, Resource]:
        """The resources that the proxy asks for; see `View`."""
        if self.proxy.kind is ProxyKind.AGENT and type_url != SDS:
            return {}
        if type_url in FULL_STATE:
            every = self.compiler.all(self.snapshot, self.proxy, type_url)
            return every if wildcard else {name: every[name] for name in names if name in every}
        if type_url in (RDS, EDS, SDS):
            return self.compiler.named(self.snapshot, self.proxy, type_url, names)
        return {}
