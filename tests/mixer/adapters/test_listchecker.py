"""P2: lists of texts, addresses and regular expressions; from the rule, from a file, from a web server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mesh.api.checks import faults
from mesh.mixer.adapters.listchecker import ListChecker, ListCheckerParams
from mesh.mixer.adapters.providers import NoList
from mesh.ports import bound
from mesh.rules.adapter import Code
from tests.loops import run
from tests.mixer.adapters.rig import Clock, entry, started

pytestmark = pytest.mark.behaviour("P2")

V4, V6 = bytes([10, 1, 2, 3]), bytes([0x20, 0x01, 0x0D, 0xB8] + [0] * 11 + [1])
MAPPED = bytes([0] * 10 + [0xFF, 0xFF, 10, 1, 2, 3])


def listed(value: Any, **params: Any) -> bool:
    """Whether a white list lets a value pass; the black list must say the opposite."""

    async def work() -> bool:
        found = []
        for blacklist in (False, True):
            async with started(ListChecker, blacklist=blacklist, **params) as adapter:
                found.append((await adapter.check(entry(value))).code == Code.OK)
        assert found[0] is not found[1]
        return found[0]

    return run(work())


@pytest.mark.parametrize(
    ("kind", "entries", "value", "there"),
    [
        ("STRINGS", ["a", "b"], "a", True),
        ("STRINGS", ["a", "b"], "A", False),
        ("STRINGS", [], "a", False),
        ("CASE_INSENSITIVE_STRINGS", ["Ab"], "aB", True),
        ("CASE_INSENSITIVE_STRINGS", ["Ab"], "abc", False),
        ("REGEX", ["^v[0-9]+$"], "v12", True),
        ("REGEX", ["^v[0-9]+$"], "v", False),
        ("REGEX", ["x", "ear"], "heart", True),
        ("IP_ADDRESSES", ["10.1.0.0/16"], V4, True),
        ("IP_ADDRESSES", ["10.1.0.0/16"], "10.2.0.1", False),
        ("IP_ADDRESSES", ["10.1.2.3"], "10.1.2.3", True),
        ("IP_ADDRESSES", ["10.1.2.3/8"], "10.9.9.9", True),
        ("IP_ADDRESSES", ["2001:db8::/32"], V6, True),
        ("IP_ADDRESSES", ["2001:db8::/32"], V4, False),
        ("IP_ADDRESSES", ["10.1.0.0/16"], MAPPED, True),
        ("IP_ADDRESSES", ["::ffff:10.1.0.0/112"], V4, True),
        ("IP_ADDRESSES", ["0.0.0.0/0"], V6, False),
    ],
)
def test_kinds_of_lists(kind: str, entries: list[str], value: Any, there: bool) -> None:
    assert listed(value, entryType=kind, overrides=entries) is there


@pytest.mark.parametrize("blacklist", [False, True])
def test_what_is_no_address_is_refused_by_a_list_of_addresses(blacklist: bool) -> None:
    async def work() -> None:
        params: dict[str, Any] = {"entryType": "IP_ADDRESSES", "overrides": ["10.0.0.0/8"]}
        async with started(ListChecker, blacklist=blacklist, **params) as adapter:
            found = await adapter.check(entry("nobody"))
            assert found.code == Code.INVALID_ARGUMENT
            assert "nobody" in found.message

    run(work())


def test_answers_say_how_long_and_how_often_they_hold() -> None:
    async def work() -> None:
        more: dict[str, Any] = {"cachingInterval": "7s", "cachingUseCount": 9}
        async with started(ListChecker, overrides=["a"], **more) as adapter:
            for value, code in (("a", Code.OK), ("b", Code.NOT_FOUND)):
                found = await adapter.check(entry(value))
                assert (found.code, found.valid_seconds, found.valid_uses) == (code, 7.0, 9)

    run(work())


class Server:
    """A web server with a list."""

    def __init__(self) -> None:
        self.text, self.status, self.url = "a\n\n  b  \n", 200, ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Server"]:
        app = web.Application()
        app.router.add_get("/list", self._answer)
        async with bound(app, "127.0.0.1", 0) as port:
            self.url = f"http://127.0.0.1:{port}/list"
            yield self

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, text=self.text)


async def passes(adapter: ListChecker, value: str) -> bool:
    return (await adapter.check(entry(value))).code == Code.OK


def test_a_list_from_a_server_is_read_again_and_the_last_good_one_stays() -> None:
    async def work() -> None:
        clock = Clock()
        async with (
            Server().open() as server,
            started(ListChecker, clock, providerUrl=server.url, overrides=["own"], ttl="300s") as adapter,
        ):
            assert [await passes(adapter, each) for each in ("a", "b", "own", "c")] == [
                True,
                True,
                True,
                False,
            ]
            server.text = "c"
            assert await adapter.refresh()
            assert [await passes(adapter, each) for each in ("a", "own", "c")] == [False, True, True]
            server.status = 503
            clock.now += 299
            assert not await adapter.refresh()
            assert await passes(adapter, "c"), "the last good list"
            clock.now += 2
            with pytest.raises(NoList, match=r"301 s old, more than its ttl.*503"):
                await adapter.check(entry("c"))
            server.status = 200
            assert await adapter.refresh()
            assert await passes(adapter, "c")

    run(work())


def test_a_list_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a list"
    file.write_text("10.0.0.0/8\n")

    async def work() -> None:
        url = f"file://{tmp_path}/a%20list"
        async with started(ListChecker, providerUrl=url, entryType="IP_ADDRESSES") as adapter:
            assert await passes(adapter, "10.1.1.1")
            file.write_text("192.0.2.0/24\nnonsense\n")
            assert not await adapter.refresh(), "a wrong list is not taken"
            assert await passes(adapter, "10.1.1.1")
            file.write_text("192.0.2.0/24\n")
            assert await adapter.refresh()
            assert not await passes(adapter, "10.1.1.1")
            assert await passes(adapter, "192.0.2.1")

    run(work())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: None, "No such file"),
        (lambda file: file.write_bytes(b"\xff"), "no text in UTF-8: byte 0"),
        (lambda file: file.write_bytes(b"a" * (16 * 2**20 + 1)), "longer than 16777216 bytes"),
    ],
)
def test_without_a_list_it_does_not_start(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "list")

    async def work() -> None:
        async with started(ListChecker, providerUrl=f"file://{tmp_path}/list"):
            raise AssertionError("it started")

    with pytest.raises(NoList, match=words):
        run(work())


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"entryType": "IP_ADDRESSES", "overrides": ["10.0.0.1", "10.0.0.0/33"]}, "overrides[1]"),
        ({"entryType": "REGEX", "overrides": ["("]}, "overrides[0]"),
        ({"providerUrl": "ftp://a/list"}, "providerUrl"),
        ({"providerUrl": "file://relative"}, "providerUrl"),
        ({"providerUrl": "http://a/list", "refreshInterval": "10ms"}, "refreshInterval"),
        ({"providerUrl": "http://a/list", "ttl": "10s"}, "ttl"),
    ],
)
def test_wrong_parameters_are_named(params: dict[str, Any], path: str) -> None:
    assert [fault.path for fault in faults(ListCheckerParams.model_validate(params), "")] == [path]
