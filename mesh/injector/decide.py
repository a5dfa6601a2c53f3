"""Whether a Pod gets a sidecar: a list of checks, each giving its reason. The first that knows decides.

Source: Istio, "Automatic sidecar injection": namespace label `istio-injection`, Pod label
`sidecar.istio.io/inject`, the older annotation of that name; a label outranks an annotation. As there, a word
that is none of true, yes, y and on is a no. In a namespace that says nothing only the label is heard: the
webhook's selectors cannot see annotations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.injector.settings import Settings

INJECT = "sidecar.istio.io/inject"
STATUS = "sidecar.istio.io/status"
NAMESPACE_LABEL = "istio-injection"
NEVER = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
_TRUE = frozenset({"true", "yes", "y", "on"})


@dataclass(frozen=True, slots=True)
class Question:
    """A Pod (its metadata and spec), the labels of its namespace, and the injector's settings."""

    pod: Mapping[str, Any]
    namespace: str
    namespace_labels: Mapping[str, str]
    settings: Settings


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and why."""

    inject: bool
    reason: str


Check = Callable[[Question], Decision | None]


def decide(question: Question) -> Decision:
    """Go through `CHECKS`; the last one always knows."""
    return next(decision for check in CHECKS if (decision := check(question)) is not None)


def spec_of(question: Question) -> Mapping[str, Any]:
    """The Pod's specification."""
    spec: Mapping[str, Any] = question.pod.get("spec") or {}
    return spec


def host_network(question: Question) -> Decision | None:
    """A Pod on the node's own network must not redirect the node's traffic."""
    return Decision(False, "it uses the host's network") if spec_of(question).get("hostNetwork") else None


def no_containers(question: Question) -> Decision | None:
    """A Pod that is not one yet must not become one by its sidecar; the API server will refuse it."""
    return None if spec_of(question).get("containers") else Decision(False, "it has no containers")


def system_namespace(question: Question) -> Decision | None:
    """Kubernetes' own Pods are left alone."""
    return (
        Decision(False, f"namespace {question.namespace} is the system's")
        if question.namespace in NEVER
        else None
    )


def already_injected(question: Question) -> Decision | None:
    """Injecting twice changes nothing."""
    names = {container.get("name") for container in spec_of(question)["containers"]}
    return Decision(False, "it has a sidecar already") if "istio-proxy" in names else None


def own_word(question: Question) -> Decision | None:
    """The Pod's label, or else its annotation."""
    metadata = question.pod.get("metadata") or {}
    for place, what in (("labels", "label"), ("annotations", "annotation")):
        value = str((metadata.get(place) or {}).get(INJECT, "")).lower()
        if value:
            return Decision(value in _TRUE, f"its {what} {INJECT} is {value!r}")
    return None


def namespace_word(question: Question) -> Decision | None:
    """The namespace's label."""
    value = question.namespace_labels.get(NAMESPACE_LABEL)
    if value == "disabled":
        return Decision(False, f"namespace {question.namespace} has {NAMESPACE_LABEL}=disabled")
    if value == "enabled" and question.settings.policy == "enabled":
        return Decision(True, f"namespace {question.namespace} has {NAMESPACE_LABEL}=enabled")
    return None


def nothing_said(_: Question) -> Decision:
    """Without a word for it, nothing is injected."""
    return Decision(False, "neither the Pod nor its namespace asks for a sidecar")


CHECKS: tuple[Check, ...] = (
    host_network, system_namespace, no_containers, already_injected, own_word, namespace_word, nothing_said,
)  # fmt: skip
