"""What a Mixer knows the mesh by, wherever it comes from."""

from dataclasses import dataclass, field

from mesh.model.sources import ConfigSource, Registry
from mesh.pki.holder import Holder
from mesh.pki.trust import Trust
from mesh.tasks import Task


@dataclass(slots=True)
class World:
    """Registry, configuration, certificate and trust; `tasks` keep them up to date.

    Without `identity` and `trust` a Mixer serves in plain text, on loopback only.
    """

    registry: Registry
    config: ConfigSource
    identity: Holder | None = None
    trust: Trust | None = None
    tasks: list[Task] = field(default_factory=list)
