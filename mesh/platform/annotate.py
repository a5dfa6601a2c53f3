"""Writing an annotation onto an object of the Kubernetes API, and nothing else of it."""

from collections.abc import Mapping
from typing import Any

MERGE_PATCH = "application/merge-patch+json"
SECONDS = 10.0  # that a request may take


class CannotWrite(Exception):
    """The API server did not take it; the text is its reason."""


async def annotate(client: Any, path: str, annotations: Mapping[str, str | None]) -> None:
    """Set annotations of the object at `path`, or remove those that are None. Raises `CannotWrite`."""
    call = await client.param_serialize(
        "PATCH",
        path,
        body={"metadata": {"annotations": dict(annotations)}},
        header_params={"Accept": "application/json", "Content-Type": MERGE_PATCH},
        auth_settings=["BearerToken"],
    )
    answer = await client.call_api(*call, _request_timeout=SECONDS)
    text = (await answer.response.read()).decode(errors="replace")
    if answer.response.status >= 400:
        raise CannotWrite(f"PATCH {path}: {answer.response.status}: {text[:300]}")
