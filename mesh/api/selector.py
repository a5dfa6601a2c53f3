"""What policies apply to: workloads by their labels, or objects by their names.

Source: Istio's references of `type.v1beta1` (WorkloadSelector, PolicyTargetReference).
"""

import re
from collections.abc import Iterator, Mapping

from mesh.api.base import Model
from mesh.api.checks import Fault, check

_NAME = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_PREFIX = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")


class WorkloadSelector(Model):
    """Workloads that have all these labels."""

    match_labels: dict[str, str] = {}

    @check
    def _labels(self) -> Iterator[Fault]:
        yield from bad_labels(self.match_labels, "matchLabels")


class PolicyTargetReference(Model):
    """An object that a policy is attached to."""

    group: str = ""
    kind: str
    name: str
    namespace: str = ""


def bad_labels(labels: Mapping[str, str], path: str) -> Iterator[Fault]:
    """What is no label as Kubernetes has them: such a selector would never match."""
    for key, value in labels.items():
        prefix, _, name = key.rpartition("/")
        if not _NAME.match(name) or (prefix and not _PREFIX.match(prefix)):
            yield Fault(
                f"{path}[{key}]", f"{key!r} is not a name of a label", "use letters, digits, '-', '_', '.'"
            )
        if value and not _NAME.match(value):
            remedy = "write the whole value; wildcards have no meaning here"
            yield Fault(f"{path}[{key}]", f"{value!r} is not a value of a label", remedy)
