"""The API server as installation uses it: whole objects by their paths, and its refusals in its own words."""

import json
from typing import Any

MANAGER = "meshctl"
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
PLURALS = {"PodDisruptionBudget": "poddisruptionbudgets", "PriorityClass": "priorityclasses"}
CLUSTER_WIDE = frozenset(
    {
        "Namespace",
        "CustomResourceDefinition",
        "PriorityClass",
        "ClusterRole",
        "ClusterRoleBinding",
        MUTATING,
        VALIDATING,
    }
)
Obj = dict[str, Any]


class InstallFailed(Exception):
    """Installation cannot go on; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def path_of(obj: Obj) -> str:
    """Where the API server keeps an object."""
    kind, metadata = obj["kind"], obj["metadata"]
    place = "" if kind in CLUSTER_WIDE else f"/namespaces/{metadata['namespace']}"
    plural = PLURALS.get(kind, kind.lower() + "s")
    return f"{root_of(obj['apiVersion'])}{place}/{plural}/{metadata['name']}"


def root_of(version: str) -> str:
    """The path below which a group and version lies."""
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


class Server:
    """An API server, through an `ApiClient` of the `kubernetes` library. Calls may run in several threads."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def apply(self, obj: Obj) -> Obj:
        """Server-side apply as field manager `meshctl`; what the server made of it."""
        query = f"?fieldManager={MANAGER}&force=true"
        applied: Obj = self.request("PATCH", path_of(obj) + query, body=obj, content_type=APPLY)
        return applied

    def get(self, path: str) -> Obj | None:
        """An object or a list; None if there is none."""
        found: Obj | None = self.request("GET", path, missing_ok=True)
        return found

    def delete(self, path: str) -> None:
        """Delete an object, if it is there."""
        self.request("DELETE", path, missing_ok=True)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Obj | list[Obj] | None = None,
        content_type: str = JSON,
        missing_ok: bool = False,
    ) -> Any:
        """One request; its JSON. `InstallFailed` with the server's words, or why it cannot be reached."""
        from urllib3.exceptions import HTTPError

        headers = {"Accept": JSON, "Content-Type": content_type}
        call = self._client.param_serialize(
            method, path, body=body, header_params=headers, auth_settings=["BearerToken"]
        )
        try:
            answer = self._client.call_api(*call)
            text = (answer.read() or b"").decode(errors="replace")
        except HTTPError as error:
            raise self._unreachable(error) from None
        if answer.status == 404 and missing_ok:
            return None
        if not 200 <= answer.status < 300:
            raise InstallFailed(f"{method} {path.partition('?')[0]}: {message_of(text)} ({answer.status})")
        return json.loads(text)

    def _unreachable(self, error: Exception) -> InstallFailed:
        reason = getattr(error, "reason", None) or error
        return InstallFailed(
            f"the API server {self._client.configuration.host} does not answer: {reason}",
            "is the cluster running? 'meshctl up' starts the embedded one",
        )


def message_of(text: str) -> str:
    """The message of a Kubernetes Status, or the text itself."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
