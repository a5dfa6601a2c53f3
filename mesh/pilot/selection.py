"""Which policies of security.istio.io are for a workload.

Source: Istio's reference of the three kinds. A policy without a selector is for its whole namespace, in the
root namespace for the whole mesh; one with a selector is for the workloads with these labels: of its
namespace, or in the root namespace of every namespace. `targetRefs` name gateways of the Gateway API.
"""

from typing import Any, NamedTuple

from mesh.model import ConfigObject, Labels, ObjectKey
from mesh.pilot.reader import Reader
from mesh.pilot.tables import GATEWAY_NAME

GATEWAY_API = "gateway.networking.k8s.io"


class Applying(NamedTuple):
    """The policies of one kind for a workload, from wide to narrow, each oldest first."""

    mesh: tuple[ConfigObject, ...] = ()
    namespace: tuple[ConfigObject, ...] = ()
    workload: tuple[ConfigObject, ...] = ()


def applying(read: Reader, kind: str, namespace: str, labels: Labels) -> Applying:
    """The policies of a kind for a workload of `namespace` with `labels`.

    In the root namespace what holds for the namespace holds for the mesh, and is given as the mesh's.
    """
    root = read.mesh.root_namespace
    wide = read.policies(kind, root)
    own = () if namespace == root else read.policies(kind, namespace)
    narrow = (each for each in (*own, *wide) if narrowed(each.spec) and chooses(each, namespace, labels))
    return Applying(
        tuple(each for each in wide if not narrowed(each.spec)),
        tuple(each for each in own if not narrowed(each.spec)),
        tuple(narrow),
    )


def narrowed(spec: Any) -> bool:
    """Whether a policy is for some workloads only."""
    return bool((spec.selector and spec.selector.match_labels) or targets(spec))


def chooses(policy: ConfigObject, namespace: str, labels: Labels) -> bool:
    """Whether a policy that is for some workloads only is for this one."""
    named = targets(policy.spec)
    if not named:
        return labels.matches(policy.spec.selector.match_labels)
    return policy.namespace == namespace and any(is_gateway(each, labels) for each in named)


def targets(spec: Any) -> tuple[Any, ...]:
    """The objects that a policy is attached to; `targetRef` is the older way to name one."""
    one = getattr(spec, "target_ref", None)
    return (*getattr(spec, "target_refs", ()), *((one,) if one else ()))


def is_gateway(target: Any, labels: Labels) -> bool:
    """Whether a workload belongs to the gateway that a target names."""
    named = (target.group, target.kind) == (GATEWAY_API, "Gateway")
    return named and labels.get(GATEWAY_NAME) == target.name


def keys(read: Reader, kinds: tuple[str, ...], namespace: str, labels: Labels) -> tuple[ObjectKey, ...]:
    """The names of all policies of some kinds for a workload."""
    found = (each for kind in kinds for some in applying(read, kind, namespace, labels) for each in some)
    return tuple(each.key for each in found)


def relevant(read: Reader, namespace: str, labels: Labels) -> Labels:
    """Those of a workload's labels by which some policy may choose it."""
    used = read.selected(namespace) | read.selected(read.mesh.root_namespace)
    return Labels({key: value for key, value in labels.items() if key in used})
