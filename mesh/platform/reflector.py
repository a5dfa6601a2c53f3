"""List and watch of one resource of the Kubernetes API, without gaps, for as long as it is wanted.

Source of the protocol: Kubernetes, "Efficient detection of changes": list, watch from the list's
resourceVersion, list again after 410.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import structlog

Obj = dict[str, Any]
WATCH_SECONDS = 290  # a watch is asked to end before load balancers on the way cut it
BACKOFF = (0.05, 5.0)  # seconds: first and longest pause after a failure
GONE = 410

log = structlog.get_logger("reflector")


class WatchGone(Exception):
    """The version is too old to go on from: list again."""


class Reflector:
    """Keeps a handler informed of all objects at `path` (such as `/api/v1/services`).

    `selector` narrows them, as a query: `fieldSelector=metadata.name=istio-ca-root-cert`.
    `replace` gets all objects after each list, `change` each event (`ADDED`, `MODIFIED`, `DELETED`) after it.
    """

    def __init__(
        self,
        client: Any,
        path: str,
        *,
        replace: Callable[[list[Obj]], None],
        change: Callable[[str, Obj], None],
        selector: str = "",
    ) -> None:
        self._client = client
        self._selector = selector
        self._path = path
        self._replace = replace
        self._change = change
        self.synced = asyncio.Event()
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Reflector of {self._path}, {'synced' if self.synced.is_set() else 'not synced'}>"

    async def run(self) -> None:
        """List and watch until cancelled; failures are logged and tried again after a pause."""
        version = ""
        while True:
            try:
                version = version or await self._list()
                version = await self._watch(version)
                self.failures = 0
            except WatchGone:
                version = ""
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        self.failures += 1
        pause = min(BACKOFF[0] * 2 ** min(self.failures, 10), BACKOFF[1]) * random.uniform(0.5, 1.0)
        log.warning(
            "cannot read", path=self._path, error=str(error) or type(error).__name__, again_in=round(pause, 2)
        )
        await asyncio.sleep(pause)

    async def _list(self) -> str:
        query = f"?{self._selector}" if self._selector else ""
        async with _answer(await self._get(self._path + query)) as answer:
            found = json.loads(await answer.read())
        # Items of a list do not repeat what the list says of all of them.
        common = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        self._replace([{**common, **item} for item in found.get("items") or ()])
        self.synced.set()
        return str(found["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Hand on events until the watch ends; the version to go on from."""
        query = (
            f"watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        )
        query += f"&{self._selector}" if self._selector else ""
        async with _answer(await self._get(f"{self._path}?{query}")) as answer:
            async for line in lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"])
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._change(event["type"], event["object"])
        return version

    async def _get(self, path: str) -> aiohttp.ClientResponse:
        call = await self._client.param_serialize(
            "GET", path, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
        )
        answer = await self._client.call_api(*call, _request_timeout=WATCH_SECONDS + 30)
        response: aiohttp.ClientResponse = answer.response
        return response


class _answer:  # noqa: N801 - used as a statement, like contextlib.closing
    """A response that is released at the end, and an error unless it is a success."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aenter__(self) -> aiohttp.ClientResponse:
        if self._response.status >= 400:
            text = await self._response.read()
            self._response.release()
            raise _error({"code": self._response.status, "message": text.decode(errors="replace")[:300]})
        return self._response

    def __aexit__(self, *_: object) -> Awaitable[None]:
        self._response.close()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def _error(status: Obj) -> Exception:
    message = f"{status.get('code')}: {status.get('message', '')}"
    return WatchGone(message) if status.get("code") == GONE else ConnectionError(message)


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a body that never ends; each may be as long as an object is."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
