"""What goes over the wire, and what each answer is called."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from loadtests.openloop.driver import Outcome, Request
from loadtests.openloop.http import Label, Target, TargetError, sender
from tests import loops

pytestmark = pytest.mark.behaviour("H4")

Answer = Any


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def asked(answer: Answer, times: int = 1, path: str = "/x?y=1", **target: Any) -> Outcome:
    """The last outcome of so many requests."""

    async def go() -> Outcome:
        async with serving(answer) as url, sender(Target(url + path, **target)) as send:
            for number in range(times):
                outcome = await send(Request(number, 0))
        return outcome

    return loops.run(go())


async def version(_: web.Request) -> web.Response:
    return web.json_response({"forecast": {"version": "v2", "days": [1]}}, headers={"x-version": "v2"})


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("header:X-Version", "v2"),
        ("header:other", ""),
        ("json:forecast.version", "v2"),
        ("json:forecast.days.0", "1"),
        ("json:forecast.days.7", ""),
        ("json:forecast.version.more", ""),
        ("json:none", ""),
    ],
)
def test_labels(label: str, says: str) -> None:
    assert asked(version, label=Label.parsed(label)) == Outcome(says)


@pytest.mark.parametrize("text", ["", "header", "header:", "body:x"])
def test_what_is_no_label_is_told(text: str) -> None:
    with pytest.raises(TargetError, match=r"header:NAME or json:FIELD"):
        Label.parsed(text)


@pytest.mark.parametrize("url", ["", "host", "ftp://host/", "http://", "http://h:99999/", "http://[::1"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(TargetError, match="is no address"):
        Target(url)


def test_all_of_the_request_arrives() -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(
            f"{request.method} {request.path_qs} {request.host} {request.headers['a']} {await request.text()}"
        )
        return web.Response()

    asked(note, method="POST", headers={"host": "weather", "a": "b"}, body=b"hello")
    assert seen == ["POST /x?y=1 weather b hello"]


def test_a_redirect_is_an_answer_and_leads_nowhere() -> None:
    asked_elsewhere: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked_elsewhere.append(request.path)
        return web.Response()

    async def go() -> Outcome:
        async with serving(elsewhere) as other:

            async def away(_: web.Request) -> web.Response:
                raise web.HTTPFound(other)

            async with serving(away) as url, sender(Target(url)) as send:
                return await send(Request(0, 0))

    assert loops.run(go()) == Outcome()
    assert not asked_elsewhere


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert asked(version) == Outcome()


@pytest.mark.parametrize(("fresh", "connections"), [(False, 1), (True, 3)])
def test_connections_are_kept_unless_fresh_ones_are_asked_for(fresh: bool, connections: int) -> None:
    seen: set[object] = set()

    async def note(request: web.Request) -> web.Response:
        assert request.transport
        seen.add(request.transport.get_extra_info("peername"))
        return web.Response()

    asked(note, times=3, fresh=fresh)
    assert len(seen) == connections


def test_statuses() -> None:
    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=503)

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=404, headers={"x-version": "v1"})

    assert asked(fail) == Outcome(failure="http 503")
    assert asked(refuse, label=Label.parsed("header:x-version")) == Outcome("v1", "http 404")


def test_no_answer_in_time() -> None:
    async def wait(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    assert asked(wait, timeout=0.05) == Outcome(failure="timeout")


def test_the_second_request_is_not_sent_twice() -> None:
    """A kept connection that the server closes is a failure that counts, not one more try in secret."""
    seen: list[str] = []

    async def hang_up(request: web.Request) -> web.Response:
        seen.append(request.path)
        assert request.transport
        if len(seen) > 1:
            request.transport.abort()
        return web.Response()

    assert asked(hang_up, times=2).failure in ("connection closed", "connection reset")
    assert len(seen) == 2


def test_nobody_listens() -> None:
    async def go() -> Outcome:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        async with sender(Target(f"http://127.0.0.1:{port}/")) as send:
            return await send(Request(0, 0))

    assert loops.run(go()) == Outcome(failure="connection refused")


def test_what_answers_is_no_http_server() -> None:
    async def go() -> Outcome:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"who are you?\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, sender(Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")) as send:
            return await send(Request(0, 0))

    assert loops.run(go()) == Outcome(failure="no HTTP answer")
