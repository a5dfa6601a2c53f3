"""What a Mixer knows the mesh by, wherever it comes from."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.model.sources import ConfigSource, Registry
from mesh.pki.holder import Holder
from mesh.pki.trust import Trust
from mesh.tasks import Task


@dataclass(slots=True)
class World:
    """Registry, configuration, certificate and trust; `tasks` keep them up to date.

    `domains` gives the mesh's trust domains.

    Without `identity` and `trust` a Mixer serves in plain text, on loopback only.
    """

    registry: Registry
    config: ConfigSource
    identity: Holder | None = None
    trust: Trust | None = None
    tasks: list[Task] = field(default_factory=list)
    domains: Callable[[], tuple[str, ...]] | None = None

    def let_in(self, own: str) -> Callable[[], tuple[str, ...]]:
        """Gives the trust domains of proxies that are let in; `own` alone where no others are known."""
        return self.domains or (lambda: (own,))
