"""AdmissionReview v1: the API server's question and our answer, as plain values."""

import base64
import json
from typing import Any

import jsonpatch

from mesh.injector.annotations import AnnotationProblem
from mesh.injector.inject import inject
from mesh.injector.settings import Settings


class ReviewProblem(Exception):
    """This is no AdmissionReview that can be answered."""


def review(question: Any, settings: Settings) -> dict[str, Any]:
    """Answer an AdmissionReview about a Pod; we are only asked where a namespace or a Pod wants injection.

    The namespace's own label is not in the question: the webhook's selectors have looked at it already, so
    only the Pod's own word can still be against it.
    """
    try:
        request = question["request"]
        uid, pod, namespace = request["uid"], request["object"], request.get("namespace", "")
    except (KeyError, TypeError):
        raise ReviewProblem("expected an AdmissionReview with request.uid and request.object") from None
    if not isinstance(pod, dict) or not isinstance(pod.get("metadata", {}), dict):
        raise ReviewProblem(f"request.object of {uid} is no Pod; only the creation of Pods is ours")
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": uid, **respond(pod, namespace, settings)},
    }


def respond(pod: dict[str, Any], namespace: str, settings: Settings) -> dict[str, Any]:
    """`allowed` with a JSON patch, without one, or a refusal that names the annotation."""
    try:
        injected, _ = inject(
            pod, settings, namespace=namespace, namespace_labels={"istio-injection": "enabled"}
        )
    except AnnotationProblem as error:
        metadata = pod.get("metadata") or {}
        name = metadata.get("name") or metadata.get("generateName", "")
        message = f"Pod {namespace}/{name}: {error}"
        return {"allowed": False, "status": {"code": 400, "reason": "BadRequest", "message": message}}
    operations = jsonpatch.make_patch(pod, injected).patch
    if not operations:
        return {"allowed": True}
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch}
