"""Which policies (security, telemetry) are for a workload.

Source: Istio's reference of the kinds with a selector. One without a selector is for its whole namespace, in
the root namespace for the whole mesh; one with a selector is for the workloads with these labels: of its
namespace, or in the root namespace of every namespace. `targetRefs` name gateways of the Gateway API.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mesh.model import ConfigObject, Labels

GATEWAY_API = "gateway.networking.k8s.io"
GATEWAY_NAME = f"{GATEWAY_API}/gateway-name"


class Applying(NamedTuple):
    """The policies of one kind for a workload, from wide to narrow, each oldest first."""

    mesh: tuple[ConfigObject, ...] = ()
    namespace: tuple[ConfigObject, ...] = ()
    workload: tuple[ConfigObject, ...] = ()


def age(policy: ConfigObject) -> tuple[float, str, str]:
    """Sorts the oldest first; of equal age by name."""
    return policy.created, policy.name, policy.namespace


def among(
    wide: Iterable[ConfigObject], own: Iterable[ConfigObject], namespace: str, labels: Labels
) -> Applying:
    """Those for a workload of `namespace` with `labels`.

    `wide` are the policies of the root namespace, `own` those of the workload's, none if that is the root:
    there what holds for the namespace holds for the mesh, and is given as the mesh's.
    """
    wide, own = tuple(wide), tuple(own)
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


def first(scopes: Applying, field: str) -> Iterator[ConfigObject]:
    """The oldest of each scope that says something in a field, from wide to narrow."""
    for scope in scopes:
        yield from [each for each in scope if getattr(each.spec, field)][:1]
