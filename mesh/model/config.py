"""Configuration objects as the rest of the mesh sees them: a key, its metadata and a typed spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mesh.model.labels import EMPTY, Labels


class ObjectKey(NamedTuple):
    """What names an object of the platform: `VirtualService weather/forecast`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class ConfigObject:
    """One object of the mesh's configuration, its spec a value of `mesh.api`, never changed once made.

    Two versions of an object differ by `resource_version`; identity decides equality, because the store
    keeps the same value for as long as the object does not change.
    """

    key: ObjectKey
    group: str
    version: str
    spec: Any
    resource_version: str = ""
    uid: str = ""
    generation: int = 0
    created: float = 0.0
    labels: Labels = EMPTY
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The object's namespace."""
        return self.key.namespace

    @property
    def name(self) -> str:
        """The object's name."""
        return self.key.name
