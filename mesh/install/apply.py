"""Puts the mesh's objects into a cluster by server-side apply, waits until they run; takes them away."""

import base64
import binascii
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

from mesh.install.certificates import ServingCertificate
from mesh.install.manifests import OWNER, WEBHOOK, Obj, trust

MANAGER = "meshctl"
APPLY = "application/apply-patch+yaml"
POLL = 0.1
PLURALS = {"PodDisruptionBudget": "poddisruptionbudgets", "PriorityClass": "priorityclasses"}
CLUSTER_WIDE = frozenset(
    {"Namespace", "CustomResourceDefinition", "PriorityClass", "ClusterRole", "ClusterRoleBinding", WEBHOOK}
)
PARTS = {"certificate": "cert-chain.pem", "key": "key.pem", "root": "root-cert.pem"}


class InstallFailed(Exception):
    """Installation cannot go on; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def install(
    client: Any,
    objects: Sequence[Obj],
    *,
    progress: Callable[[str], None] = lambda _: None,
    timeout: float = 120.0,
) -> None:
    """Apply `objects` in their order and wait until every Deployment among them is available.

    `client` is an `ApiClient` of the `kubernetes` library. Applying twice changes nothing.
    Raises `InstallFailed` with the API server's words, or with what was not ready after `timeout` seconds.
    """
    objects = list(objects)
    keep_certificate(client, objects)
    progress(f"applying {len(objects)} objects")
    with ThreadPoolExecutor(4) as pool:  # objects of one kind do not depend on each other
        for _, group in groupby(objects, key=lambda obj: obj["kind"]):
            list(pool.map(lambda obj: apply_object(client, obj), group))
    wait_until_available(client, [obj for obj in objects if obj["kind"] == "Deployment"], progress, timeout)


def uninstall(
    client: Any, objects: Sequence[Obj], *, progress: Callable[[str], None] = lambda _: None
) -> None:
    """Delete what `install` applied, last first; what is not there, or is not ours, is passed over."""
    for obj in reversed(objects):
        found = request(client, "GET", path_of(obj), missing_ok=True)
        labels = ((found or {}).get("metadata") or {}).get("labels") or {}
        if found is not None and OWNER.items() <= labels.items():
            progress(f"deleting {obj['kind']} {obj['metadata']['name']}")
            request(client, "DELETE", path_of(obj), missing_ok=True)


def keep_certificate(client: Any, objects: Sequence[Obj]) -> None:
    """Put a good certificate of an earlier installation in place of the new one, so that nothing restarts."""
    secret = next((obj for obj in objects if obj["kind"] == "Secret"), None)
    found = secret and request(client, "GET", path_of(secret), missing_ok=True)
    if not secret or not found:
        return
    try:
        present = {part: base64.b64decode(found["data"][name]) for part, name in PARTS.items()}
        certificate = ServingCertificate(**present)
    except (KeyError, TypeError, binascii.Error):
        return
    if certificate.good():
        secret["data"] = found["data"]
        for obj in objects:
            if obj["kind"] == WEBHOOK:
                trust(obj, certificate)


def apply_object(client: Any, obj: Obj) -> Obj:
    """Server-side apply of one object, as field manager `meshctl`."""
    query = f"?fieldManager={MANAGER}&force=true"
    applied: Obj = request(client, "PATCH", path_of(obj) + query, body=obj, content_type=APPLY)
    return applied


def wait_until_available(
    client: Any, deployments: Sequence[Obj], progress: Callable[[str], None], timeout: float
) -> None:
    """Wait until the Deployments' newest Pods are all available."""
    deadline = time.monotonic() + timeout
    waiting = {obj["metadata"]["name"]: path_of(obj) for obj in deployments}
    while waiting:
        for name, path in list(waiting.items()):
            if available(request(client, "GET", path)):
                progress(f"{name} is ready")
                del waiting[name]
        if waiting and time.monotonic() > deadline:
            names = ", ".join(sorted(waiting))
            raise InstallFailed(
                f"not ready after {timeout:g} s: {names}", "see 'kubectl -n istio-system get pods,events'"
            )
        if waiting:
            time.sleep(POLL)


def available(deployment: Obj) -> bool:
    """Whether all replicas of the newest template are available."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("availableReplicas", 0) >= wanted
    )


def path_of(obj: Obj) -> str:
    """Where the API server keeps an object."""
    version, kind, metadata = obj["apiVersion"], obj["kind"], obj["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    place = "" if kind in CLUSTER_WIDE else f"/namespaces/{metadata['namespace']}"
    return f"{root}{place}/{PLURALS.get(kind, kind.lower() + 's')}/{metadata['name']}"


def request(
    client: Any,
    method: str,
    path: str,
    *,
    body: Obj | None = None,
    content_type: str = "application/json",
    missing_ok: bool = False,
) -> Any:
    """One request to the API server; its JSON. `InstallFailed` with its words otherwise."""
    headers = {"Accept": "application/json", "Content-Type": content_type}
    call = client.param_serialize(
        method, path, body=body, header_params=headers, auth_settings=["BearerToken"]
    )
    answer = client.call_api(*call)
    text = (answer.read() or b"").decode(errors="replace")
    if answer.status == 404 and missing_ok:
        return None
    if not 200 <= answer.status < 300:
        raise InstallFailed(f"{method} {path.partition('?')[0]}: {message_of(text)} ({answer.status})")
    return json.loads(text)


def message_of(text: str) -> str:
    """The message of a Kubernetes Status, or the text itself."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
