"""Sends requests over HTTP/1.1 to one address and nowhere else: redirects are answers, no proxy is used."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from loadtests.openloop.driver import Outcome, Request, Send

USER_AGENT = "meshwright-openloop"
FAILED_FROM = 400
"""The first status that is a failure."""


class TargetError(ValueError):
    """A target, a header or a label cannot be used; the message says why and what would be right."""


@dataclass(frozen=True, slots=True)
class Label:
    """Where an answer tells who gave it: `header:NAME`, or `json:FIELD.FIELD` of its body."""

    kind: str
    place: str

    @classmethod
    def parsed(cls, text: str) -> "Label":
        """Raises TargetError."""
        kind, _, place = text.partition(":")
        if kind not in ("header", "json") or not place:
            raise TargetError(f"label {text!r} is none: write header:NAME or json:FIELD.FIELD")
        return cls(kind, place)

    def of(self, headers: Mapping[str, str], body: bytes) -> str:
        """The label of one answer, empty if it does not tell."""
        return headers.get(self.place, "") if self.kind == "header" else self._field(body)

    def _field(self, body: bytes) -> str:
        try:
            value: Any = json.loads(body)
            for name in self.place.split("."):
                value = value[int(name)] if isinstance(value, list) else value[name]
        except (ValueError, KeyError, TypeError, IndexError):
            return ""
        return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked, and how long an answer may take (seconds). `fresh`: a connection for each request."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout: float = 10.0
    label: Label | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        """Raises TargetError for what is no URL over HTTP."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        except ValueError:
            usable = False
        if not usable:
            raise TargetError(f"target {self.url!r} is no address: write http://HOST[:PORT]/PATH (or https)")


@asynccontextmanager
async def sender(target: Target) -> AsyncIterator[Send]:
    """What sends to a target; its connections are closed at the end."""
    connector = aiohttp.TCPConnector(limit=0, force_close=target.fresh)
    # DummyCookieJar: no request may be changed by the answer to an earlier one.
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=target.timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": USER_AGENT, **target.headers},
        auto_decompress=target.label is not None,
    ) as session:
        # aiohttp sends a GET again by itself when a kept connection turns out to be closed.
        session._retry_connection = False

        async def send(_: Request) -> Outcome:
            try:
                return await _ask(session, target)
            except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                return Outcome(failure=kind_of(error))

        yield send


async def _ask(session: aiohttp.ClientSession, target: Target) -> Outcome:
    async with session.request(
        target.method, target.url, data=target.body or None, allow_redirects=False
    ) as response:
        body = await response.read()
        failure = f"http {response.status}" if response.status >= FAILED_FROM else ""
        label = target.label.of(response.headers, body) if target.label else ""
        return Outcome(label, failure)


_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorDNSError, "name not found"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ServerDisconnectedError, "connection closed"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionResetError, "connection reset"),
    (BrokenPipeError, "connection reset"),
    (aiohttp.ClientPayloadError, "answer cut off"),
    (aiohttp.ClientResponseError, "no HTTP answer"),
)


def kind_of(error: BaseException) -> str:
    """A few words for what went wrong; the same for the same."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    for kind, words in _KINDS:
        if isinstance(error, kind) or isinstance(cause, kind):
            return words
    strerror = getattr(cause, "strerror", None)
    return str(strerror).lower() if strerror else type(error).__name__
