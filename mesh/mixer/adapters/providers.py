"""Where lists come from: a file (`file:///path`) or a web server (`http://`, `https://`)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp

from mesh.api.checks import Fault

LARGEST = 16 * 2**20
"""Bytes of a list."""

TIMEOUT = 5.0
"""Seconds that a server may take."""

SCHEMES = ("file", "http", "https")


class NoList(Exception):
    """A list that cannot be had; the text says why."""


def url_faults(path: str, url: str) -> Iterator[Fault]:
    """Why a URL is none of a list."""
    try:
        parts = urlsplit(url)
        whole = parts.path.startswith("/") if parts.scheme == "file" else parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.scheme not in SCHEMES:
        remedy = "write file:///path, http://host/path or https://host/path"
        yield Fault(path, f"is {url!r}, from where no list can be had", remedy)


async def fetched(url: str) -> str:
    """The text behind a URL; raises `NoList`."""
    try:
        data = await (_read(url) if urlsplit(url).scheme == "file" else _got(url))
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        reason = str(error) or f"no answer within {TIMEOUT:g} s"
        raise NoList(f"the list at {url} cannot be had: {reason}") from error
    if len(data) > LARGEST:
        raise NoList(f"the list at {url} is longer than {LARGEST} bytes; split it, or write blocks")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NoList(f"the list at {url} is no text in UTF-8: byte {error.start}") from None


async def _read(url: str) -> bytes:
    def read() -> bytes:
        with Path(unquote(urlsplit(url).path)).open("rb") as file:
            return file.read(LARGEST + 1)

    return await asyncio.to_thread(read)


async def _got(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
        if answer.status != 200:
            raise NoList(f"the list at {url} cannot be had: the server says {answer.status} {answer.reason}")
        return await _bounded(answer.content)


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    parts = bytearray()
    async for chunk in stream.iter_chunked(2**16):
        parts += chunk
        if len(parts) > LARGEST:
            break
    return bytes(parts)
