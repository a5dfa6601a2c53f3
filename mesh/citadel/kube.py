"""The Kubernetes API as Citadel uses it: objects as plain values, and errors that tell what to do next."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

Obj = dict[str, Any]
TIMEOUT = 20.0  # seconds for one request
MERGE = "application/merge-patch+json"


class KubeError(Exception):
    """The API server did not do what it was asked; `status` is 0 if it did not answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Conflict(KubeError):
    """Somebody else changed or made the object: read it again."""


class Kube:
    """Requests to the API server by a `kubernetes.aio` ApiClient."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self, path: str) -> Obj | None:
        """The object, or None if there is none."""
        try:
            return await self.send("GET", path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, path: str, obj: Obj) -> Obj:
        """Make an object; `Conflict` if it is there already."""
        return await self.send("POST", path, obj)

    async def replace(self, path: str, obj: Obj) -> Obj:
        """Replace it; `Conflict` if it is no longer at the resourceVersion in `obj`."""
        return await self.send("PUT", path, obj)

    async def merge(self, path: str, patch: Obj) -> Obj:
        """Change the fields that `patch` names; None removes one."""
        return await self.send("PATCH", path, patch, content=MERGE)

    async def delete(self, path: str) -> None:
        """Remove it, if it is there."""
        try:
            await self.send("DELETE", path)
        except KubeError as error:
            if error.status != 404:
                raise

    async def send(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json"
    ) -> Obj:
        """One request; raises `KubeError` with the server's own words."""
        import aiohttp  # here, because meshctl reads what Citadel writes, but by other means

        headers = {"Accept": "application/json", "Content-Type": content}
        try:
            call = await self._client.param_serialize(
                method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = await self._client.call_api(*call, _request_timeout=TIMEOUT)
            text = (await answer.read()).decode(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise KubeError(f"{method} {path}: {error or type(error).__name__}") from None
        if answer.status >= 400:
            raise _refusal(f"{method} {path}", answer.status, text)
        found: Obj = json.loads(text) if text else {}
        return found


def _refusal(what: str, status: int, text: str) -> KubeError:
    try:
        words = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        words = text[:200]
    return (Conflict if status == 409 else KubeError)(f"{what}: {status}: {words}", status)


def encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    """The data of a Secret, as the API wants it."""
    return {name: base64.b64encode(value).decode() for name, value in data.items()}


def decoded(secret: Obj) -> dict[str, bytes]:
    """The data of a Secret; what is not base64 is left out, as if it were not there."""
    found = {}
    for name, value in (secret.get("data") or {}).items():
        try:
            found[name] = base64.b64decode(value or "", validate=True)
        except (binascii.Error, ValueError):
            continue
    return found
