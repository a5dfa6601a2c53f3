"""AdmissionReview v1 about configuration: the API server's question and our answer, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mesh.api.admit import admit
from mesh.api.errors import Problem
from mesh.galley.admission import Present, concerns, examined

WARNING = 256  # characters of one warning; clients cut longer ones
LONGEST = 64 * 1024  # characters of a refusal


class ReviewProblem(Exception):
    """This is no AdmissionReview that can be answered."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question: `reason` is "" for what is admitted, `object` what was asked about."""

    uid: str
    group: str
    kind: str
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    object: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def reason(self) -> str:
        """In one word, why it was refused."""
        return "invalid_resource" if self.errors else ""

    def answer(self) -> dict[str, Any]:
        """The AdmissionReview to send back."""
        response: dict[str, Any] = {"uid": self.uid, "allowed": not self.errors}
        if self.errors:
            response["status"] = status(self.errors)
        if self.warnings:
            response["warnings"] = [warning(each) for each in self.warnings]
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def judge(question: Any) -> Verdict:
    """Answer an AdmissionReview. Deletions, and what is no kind of the mesh, are none of our business."""
    try:
        request = question["request"]
        uid, kind = request["uid"], request["kind"]
        named, operation = (str(kind["group"]), str(kind["kind"])), request["operation"]
        obj = request.get("object")
    except (KeyError, TypeError, AttributeError):
        raise ReviewProblem(
            "expected an AdmissionReview with request.uid, request.kind and request.operation"
        ) from None
    if operation not in {"CREATE", "UPDATE"} or request.get("subResource"):
        return Verdict(str(uid), *named)
    if not isinstance(obj, dict):
        raise ReviewProblem(f"request.object of {uid} is no object")
    if leaving(obj):
        return Verdict(str(uid), *named)
    whole = generated(obj)
    errors, warnings = admit(whole)
    return Verdict(str(uid), *named, errors, warnings, whole)


async def judge_among(question: Any, present: Present) -> Verdict:
    """The same, where Mixer's objects are also held against the configuration that is there."""
    verdict = judge(question)
    if verdict.errors or verdict.object is None or not concerns(verdict.object):
        return verdict
    found = await examined(verdict.object, present)
    return replace(verdict, errors=found.errors, warnings=(*verdict.warnings, *found.warnings))


def leaving(obj: dict[str, Any]) -> bool:
    """Whether an object is on its way out: whatever it is, it must be able to lose finalizers."""
    metadata = obj.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("deletionTimestamp"))


def generated(obj: dict[str, Any]) -> dict[str, Any]:
    """The object with a name, if the API server is still to make one."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict) and not metadata.get("name") and metadata.get("generateName"):
        return {**obj, "metadata": {**metadata, "name": f"{metadata['generateName']}*"}}
    return obj


def status(errors: Sequence[Problem]) -> dict[str, Any]:
    """All reasons as a Kubernetes Status, for people in one text and for programs one by one."""
    said = [f"{each.message}{f'; {each.remedy}' if each.remedy else ''}" for each in errors]
    lines = [f"{each.path}: {words}" for each, words in zip(errors, said, strict=True)]
    text = f"{errors[0].object}: " + ("; ".join(lines) if len(lines) == 1 else "\n  " + "\n  ".join(lines))
    causes = [
        {"reason": "FieldValueInvalid", "message": words, "field": each.path}
        for each, words in zip(errors, said, strict=True)
    ]
    return {
        "code": 422,
        "reason": "Invalid",
        "message": text[:LONGEST],
        "details": {"name": errors[0].object.name, "kind": errors[0].object.kind, "causes": causes},
    }


def warning(problem: Problem) -> str:
    """A warning as clients show it."""
    return " ".join(f"{problem.path}: {problem.message}; {problem.remedy}".rstrip("; ").split())[:WARNING]
