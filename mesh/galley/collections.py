"""Collections: how the kinds of configuration are called between Galley and its clients."""

from collections.abc import Iterable, Mapping

from mesh.api.kinds import Kind
from mesh.model import ObjectKey


def collection(kind: Kind) -> str:
    """`istio/networking/v1/virtualservices`."""
    return f"istio/{kind.group.partition('.')[0]}/{kind.versions[0]}/{kind.plural}"


def by_collection(kinds: Iterable[Kind]) -> Mapping[str, Kind]:
    """Kinds by their collections."""
    return {collection(kind): kind for kind in kinds}


def name_of(key: ObjectKey) -> str:
    """`namespace/name`: what names a resource within its collection."""
    return f"{key.namespace}/{key.name}"


def key_named(kind: str, name: str) -> ObjectKey:
    """The key behind a resource's name."""
    namespace, _, own = name.rpartition("/")
    return ObjectKey(kind, namespace, own)
