"""Fetching one set of keys: a bounded answer in bounded time, looked at before anybody uses it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from mesh.pilot.jwks.keys import cleaned

LARGEST = 1 << 20  # bytes of a set of keys
REDIRECTS = 5


class Unusable(Exception):
    """What came is no set of keys, or did not come at all."""


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps neither cookies nor idle connections between refreshes."""
    connector = aiohttp.TCPConnector(force_close=True, limit=16)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:
        yield client


async def fetch(client: aiohttp.ClientSession, uri: str, seconds: float) -> str:
    """The set of keys at a place, as compact JSON; a discovery document is followed once.

    Each answer may take `seconds`. Raises `Unusable`.
    """
    document = await get(client, uri, seconds)
    following = document.get("jwks_uri")
    if "keys" not in document and isinstance(following, str):
        document = await get(client, following, seconds)
    return compact(document, following if isinstance(following, str) else uri)


async def get(client: aiohttp.ClientSession, uri: str, seconds: float) -> dict[str, Any]:
    """A JSON object."""
    if not uri.startswith(("http://", "https://")):
        raise Unusable(f"{uri!r} is no http or https address; set jwksUri, or the keys themselves as jwks")
    try:
        limit = aiohttp.ClientTimeout(total=seconds)
        async with client.get(uri, timeout=limit, max_redirects=REDIRECTS) as answer:
            body = await whole(answer)
            if answer.status != 200:
                raise Unusable(f"{uri} answered {answer.status} {answer.reason}")
    except TimeoutError:
        raise Unusable(f"{uri} did not answer within {seconds:g} s") from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise Unusable(f"{uri}: {error or type(error).__name__}") from None
    return parsed(body, uri)


async def whole(answer: aiohttp.ClientResponse) -> bytes:
    """The body, if it is not larger than any set of keys."""
    body = await answer.content.read(LARGEST + 1)
    while len(body) <= LARGEST and not answer.content.at_eof():
        body += await answer.content.read(LARGEST + 1 - len(body))
    if len(body) > LARGEST:
        raise Unusable(f"{answer.url} sent more than {LARGEST} bytes")
    return body


def parsed(body: bytes, uri: str) -> dict[str, Any]:
    """The JSON object in a body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable(f"{uri} sent no JSON") from None
    if not isinstance(found, dict):
        raise Unusable(f"{uri} sent no JSON object")
    return found


def compact(document: Mapping[str, Any], uri: str) -> str:
    """The keys that can be used, as text."""
    keys = document.get("keys")
    if not isinstance(keys, list) or not keys:
        raise Unusable(f"{uri} sent no set of keys (a JSON object with a list `keys` that is not empty)")
    found = cleaned(document)
    if found is None:
        raise Unusable(
            f"{uri} sent {len(keys)} keys, none of which can be used (RSA, EC, OKP or oct; RFC 7518)"
        )
    return found
