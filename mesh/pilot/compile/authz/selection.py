"""Which AuthorizationPolicies apply at a place, by action.

Source: Istio's reference of AuthorizationPolicy: a policy applies in its namespace, one of the root namespace
everywhere; a selector or targetRefs narrow it to workloads.
"""

from mesh.model import ConfigObject, Labels, ObjectKey
from mesh.model.authorization import KIND
from mesh.pilot.reader import Reader
from mesh.pilot.selection import applying


def policies(read: Reader, namespace: str, labels: Labels) -> tuple[ConfigObject, ...]:
    """All policies that apply to a workload, in order of their names."""
    found = {each.key: each for scope in applying(read, KIND, namespace, labels) for each in scope}
    return tuple(found[key] for key in sorted(found))


def of_action(every: tuple[ConfigObject, ...], action: str) -> tuple[ConfigObject, ...]:
    """Those of one action."""
    return tuple(each for each in every if each.spec.action == action)


def keys(read: Reader, namespace: str, labels: Labels) -> tuple[ObjectKey, ...]:
    """The names of all policies that apply to a workload."""
    return tuple(each.key for each in policies(read, namespace, labels))
