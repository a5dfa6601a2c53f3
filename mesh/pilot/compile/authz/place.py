"""Where policies are enforced: the workload that they select, and which of its ports."""

from dataclasses import dataclass

from mesh.model import Labels
from mesh.model.labels import EMPTY


@dataclass(frozen=True, slots=True)
class Place:
    """A chain of filters of a proxy: `namespace` and `labels` are its workload's, `port` its own (0: any)."""

    namespace: str
    labels: Labels = EMPTY
    port: int = 0
    gateway: bool = False
