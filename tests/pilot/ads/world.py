"""A world of prepared resources, through the interface of the compiler: data for tests, not behaviour."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.model import Proxy
from mesh.pilot.types import CDS, EDS, LDS, RDS, SDS, Resource

TYPES = {"CDS": CDS, "EDS": EDS, "LDS": LDS, "RDS": RDS, "SDS": SDS}


@dataclass(frozen=True)
class World:
    """A snapshot that holds its resources ready."""

    version: int
    by_type: Mapping[str, Mapping[str, Resource]] = field(default_factory=dict)

    def resources(self, type_url: str, wildcard: bool, names: Iterable[str]) -> Mapping[str, Resource]:
        every = self.by_type.get(type_url, {})
        return every if wildcard else {name: every[name] for name in names if name in every}

    def with_resources(self, *resources: Resource, without: Iterable[tuple[str, str]] = ()) -> "World":
        """The next snapshot: with these, without those (type and name), all else the same."""
        by_type = {kind: dict(every) for kind, every in self.by_type.items()}
        for resource in resources:
            by_type.setdefault(resource.type_url, {})[resource.name] = resource
        for kind, name in without:
            by_type[kind].pop(name)
        return World(self.version + 1, by_type)


def world(*resources: Resource, version: int = 1) -> World:
    return World(version - 1).with_resources(*resources)


class StaticCompiler:
    """Gives every proxy what the snapshot holds; what is named `something@proxy` only to that one."""

    def all(self, snapshot: World, proxy: Proxy, type_url: str) -> Mapping[str, Resource]:
        every = snapshot.resources(type_url, True, ())
        return {
            name: each for name, each in every.items() if "@" not in name or name.endswith(f"@{proxy.name}")
        }

    def named(
        self, snapshot: World, proxy: Proxy, type_url: str, names: Iterable[str]
    ) -> Mapping[str, Resource]:
        return snapshot.resources(type_url, False, names)
