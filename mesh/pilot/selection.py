"""Which policies are for a workload, of those that a snapshot has (see `mesh.api.chosen`)."""

from mesh.api.chosen import Applying, among
from mesh.model import Labels, ObjectKey
from mesh.pilot.reader import Reader

__all__ = ["Applying", "applying", "keys", "relevant"]


def applying(read: Reader, kind: str, namespace: str, labels: Labels) -> Applying:
    """The policies of a kind for a workload of `namespace` with `labels`."""
    root = read.mesh.root_namespace
    own = () if namespace == root else read.policies(kind, namespace)
    return among(read.policies(kind, root), own, namespace, labels)


def keys(read: Reader, kinds: tuple[str, ...], namespace: str, labels: Labels) -> tuple[ObjectKey, ...]:
    """The names of all policies of some kinds for a workload."""
    found = (each for kind in kinds for some in applying(read, kind, namespace, labels) for each in some)
    return tuple(each.key for each in found)


def relevant(read: Reader, namespace: str, labels: Labels) -> Labels:
    """Those of a workload's labels by which some policy may choose it."""
    used = read.selected(namespace) | read.selected(read.mesh.root_namespace)
    return Labels({key: value for key, value in labels.items() if key in used})
