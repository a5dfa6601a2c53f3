"""Writing status onto the Kubernetes API."""

from typing import Any
from urllib.parse import quote

from mesh.api.kinds import Kind
from mesh.galley.status import CannotWrite
from mesh.model import ObjectKey

MERGE = "application/merge-patch+json"
SECONDS = 10.0  # that a request may take


class KubernetesWriter:
    """A `Writer` over a `kubernetes.aio` ApiClient."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def write(self, kind: Kind, key: ObjectKey, status: dict[str, Any]) -> None:
        """Merge a status into an object's; raises `CannotWrite`."""
        space = f"/apis/{kind.group}/{kind.versions[0]}/namespaces/{quote(key.namespace)}"
        path = f"{space}/{kind.plural}/{quote(key.name)}/status"
        call = await self._client.param_serialize(
            "PATCH", path, body={"status": status},
            header_params={"Accept": "application/json", "Content-Type": MERGE},
            auth_settings=["BearerToken"],
        )  # fmt: skip
        try:
            answer = await self._client.call_api(*call, _request_timeout=SECONDS)
            text = (await answer.response.read()).decode(errors="replace")
        except (OSError, TimeoutError) as error:
            raise CannotWrite(str(error) or type(error).__name__) from None
        if answer.response.status >= 400:
            raise CannotWrite(f"{answer.response.status}: {text[:300]}", gone=answer.response.status == 404)
