"""S6: Pilot fetches the keys of issuers, refreshes them, and keeps the last good ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from mesh.galley.source.combined import Combined
from mesh.galley.source.stored import StoredSource
from mesh.model import ObjectKey
from mesh.model.jwks import key_of
from mesh.pilot.jwks.fetch import LARGEST, Unusable, fetch, session
from mesh.pilot.jwks.source import KINDS, JwksSource, Metrics, Pace
from tests.live import running, until
from tests.pilot.authz import tokens
from tests.pilot.jwt.loop import in_loop

pytestmark = pytest.mark.behaviour("S6")

QUICK = Pace(refresh=0.02, retry=0.02, longest=0.05)
NEVER = Pace(refresh=3600, retry=3600, longest=3600)


class Rules(StoredSource):
    """Rules that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.synced.set()

    async def run(self) -> None:
        """There is nothing to follow."""

    def put(self, name: str, *rules: Mapping[str, Any]) -> None:
        """Set a RequestAuthentication."""
        self._store.put(
            {
                "apiVersion": "security.istio.io/v1",
                "kind": "RequestAuthentication",
                "metadata": {"name": name, "namespace": "weather"},
                "spec": {"jwtRules": list(rules)},
            }
        )
        assert self.rejected(ObjectKey("RequestAuthentication", "weather", name)) is None

    def remove(self, name: str) -> None:
        """Take it away."""
        self._store.remove(ObjectKey("RequestAuthentication", "weather", name))


class Issuer:
    """A server of keys whose answers a test chooses."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.document = tokens.jwks()
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()

    async def keys(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await self.gate.wait()
        return web.Response(text=self.document, status=self.status, content_type="application/json")

    async def discovery(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def away(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(request.query["to"])

    async def endless(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with_room = b" " * 65536
        for _ in range(2 * LARGEST // len(with_room)):
            await answer.write(with_room)
        return answer


@asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    """Run the server on loopback."""
    here = Issuer()
    app = web.Application()
    app.router.add_get("/keys", here.keys)
    app.router.add_get("/.well-known/openid-configuration", here.discovery)
    app.router.add_get("/away", here.away)
    app.router.add_get("/endless", here.endless)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    here.url = f"http://{host}:{port}"
    try:
        yield here
    finally:
        here.gate.set()
        await runner.cleanup()


def known(source: JwksSource, uri: str) -> str | None:
    """The keys at hand of a place."""
    found = source.objects().get(key_of(uri))
    return found.spec.document if found else None


def same(text: str | None, other: str) -> bool:
    return text is not None and json.loads(text) == json.loads(other)


@in_loop
async def test_keys_are_there_when_it_is_synced() -> None:
    async with issuer() as here:
        rules, uri = Rules(), f"{here.url}/keys"
        rules.put("one", {"issuer": "a", "jwksUri": uri}, {"issuer": "b", "jwks": tokens.jwks(1)})
        source = JwksSource(rules, pace=NEVER)
        async with running(source):
            assert same(known(source, uri), here.document)
            assert source.seen(key_of(uri)) is not None
            assert source.rejected(key_of(uri)) is None
            assert here.asked == 1


@in_loop
async def test_discovery_where_a_rule_names_no_keys() -> None:
    async with issuer() as here:
        rules = Rules()
        rules.put("one", {"issuer": f"{here.url}/"})
        source = JwksSource(rules, pace=NEVER)
        async with running(source):
            assert same(known(source, f"{here.url}/.well-known/openid-configuration"), here.document)


@in_loop
async def test_a_refresh_brings_new_keys_and_equal_ones_are_no_change() -> None:
    async with issuer() as here:
        rules, uri, told = Rules(), f"{here.url}/keys", list[frozenset[ObjectKey]]()
        rules.put("one", {"issuer": "a", "jwksUri": uri})
        source = JwksSource(rules, pace=QUICK)
        source.subscribe(told.append)
        async with running(source):
            await until(lambda: here.asked > 3, "several refreshes")
            assert told == [frozenset({key_of(uri)})]
            here.document = tokens.jwks(1)
            await until(lambda: same(known(source, uri), tokens.jwks(1)), "new keys")
            assert len(told) == 2


@pytest.mark.parametrize(
    ("status", "document", "reason"),
    [
        (500, "{}", "answered 500"),
        (200, "nonsense", "no JSON"),
        (200, "[]", "no JSON object"),
        (200, '{"keys": []}', "no set of keys"),
        (200, '{"keys": ["x"]}', "none of which can be used"),
        (200, '{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}', "none of which can be used"),
        (200, '{"jwks_uri": 7}', "no set of keys"),
        (200, '{"jwks_uri": "file:///etc/passwd"}', "no http or https address"),
        (200, "[" * 100_000, "no JSON"),
    ],
)
@in_loop
async def test_the_last_good_keys_stay(status: int, document: str, reason: str) -> None:
    async with issuer() as here:
        rules, uri, registry = Rules(), f"{here.url}/keys", CollectorRegistry()
        rules.put("one", {"issuer": "a", "jwksUri": uri})
        source = JwksSource(rules, pace=QUICK, metrics=Metrics(registry))
        async with running(source):
            here.status, here.document = status, document
            await until(source.problems, "a failure")
            assert reason in source.problems()[uri]
            assert reason in str(source.rejected(key_of(uri)))
            assert same(known(source, uri), tokens.jwks())
            here.status, here.document = 200, tokens.jwks(1)
            await until(lambda: same(known(source, uri), tokens.jwks(1)), "recovery")
            assert not source.problems()
        assert registry.get_sample_value("pilot_jwks_resolver_network_fetch_fail_total")
        assert registry.get_sample_value("pilot_jwks_resolver_network_fetch_success_total")
        assert registry.get_sample_value("pilot_jwks_known") == 1


@in_loop
async def test_a_place_that_is_away_holds_nobody_up() -> None:
    rules, registry, unused = Rules(), CollectorRegistry(), "http://127.0.0.1:9/keys"
    rules.put("one", {"issuer": "a", "jwksUri": unused})
    source = JwksSource(rules, pace=NEVER, metrics=Metrics(registry))
    async with running(source):
        assert known(source, unused) is None
        assert source.problems()
    assert registry.get_sample_value("pilot_jwks_missing") == 1


@in_loop
async def test_a_rules_timeout_is_kept() -> None:
    async with issuer() as here:
        here.gate.clear()
        rules, uri = Rules(), f"{here.url}/keys"
        rules.put("one", {"issuer": "a", "jwksUri": uri, "timeout": "50ms"})
        source = JwksSource(rules, pace=NEVER)
        async with running(source):
            assert "within 0.05 s" in source.problems()[uri]


@in_loop
async def test_redirects_are_followed_but_not_for_ever() -> None:
    async with issuer() as here:
        rules = Rules()
        good, circle = f"{here.url}/away?to=/keys", f"{here.url}/away?to=/away%3Fto%3D/away"
        rules.put("one", {"issuer": "a", "jwksUri": good}, {"issuer": "b", "jwksUri": circle})
        source = JwksSource(rules, pace=NEVER)
        async with running(source):
            assert same(known(source, good), here.document)
            assert circle in source.problems()


@pytest.mark.parametrize(
    "uri",
    [
        "http://[::1", "http://\uffff/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "http://.", "http://a..b/",
        "http://", "http:///x", "https://127.0.0.1:9/", "http://127.0.0.1:9/\ud800", "http://127.1:9/",
        "http://1.2.3.4.5:9/", "http://localhost:0/", "ftp://127.0.0.1/", "file:///etc/passwd", "", "\0",
    ],
)  # fmt: skip
@in_loop
async def test_no_address_does_more_than_fail(uri: str) -> None:
    async with session() as client:
        with pytest.raises(Unusable):
            await fetch(client, uri, 0.5)


@in_loop
async def test_no_redirect_does_more_than_fail() -> None:
    async with issuer() as here, session() as client:
        for there in ("http://[::1", "file:///etc/passwd", "http:///", "//", "http://127.0.0.1:x/"):
            with pytest.raises(Unusable):
                await fetch(client, f"{here.url}/away?to={quote(there, safe='')}", 0.5)


@in_loop
async def test_an_endless_answer_is_cut_off() -> None:
    async with issuer() as here:
        rules, uri = Rules(), f"{here.url}/endless"
        rules.put("one", {"issuer": "a", "jwksUri": uri})
        source = JwksSource(rules, pace=NEVER)
        async with running(source):
            assert "more than" in source.problems()[uri]


@in_loop
async def test_rules_come_and_go() -> None:
    async with issuer() as here:
        rules, uri, told = Rules(), f"{here.url}/keys", list[frozenset[ObjectKey]]()
        source = JwksSource(rules, pace=NEVER)
        source.subscribe(told.append)
        async with running(source):
            assert not source.objects()
            rules.put("one", {"issuer": "a", "jwksUri": uri})
            await until(lambda: known(source, uri), "the keys of a new rule")
            rules.put("two", {"issuer": "b", "jwksUri": uri})
            rules.remove("one")
            rules.put("one", {"issuer": "a", "jwks": tokens.jwks()})
            await asyncio.sleep(0)
            assert known(source, uri)
            rules.remove("two")
            await until(lambda: not source.objects(), "nothing left")
            assert told == [frozenset({key_of(uri)})] * 2
            assert here.asked == 1


@in_loop
async def test_a_rule_counts_as_seen_only_once_its_keys_were_tried() -> None:
    async with issuer() as here:
        rules, policy = Rules(), ObjectKey("RequestAuthentication", "weather", "one")
        source = JwksSource(rules, pace=NEVER)
        every = Combined(rules, {source: KINDS}, ready=source.ready)
        async with running(source):
            here.gate.clear()
            rules.put("one", {"issuer": "a", "jwksUri": f"{here.url}/keys"})
            await until(lambda: here.asked, "the first attempt")
            assert every.seen(policy) is None
            here.gate.set()
            await until(lambda: every.seen(policy) is not None, "the keys")
            assert known(source, f"{here.url}/keys")
            rules.remove("one")
            assert every.seen(policy) is None


def test_the_pace_of_fetching() -> None:
    pace = Pace(refresh=100, retry=1, longest=60)
    assert [pace.delay(failures, 0) for failures in range(9)] == [100, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pace.delay(0, 1) == pytest.approx(110)
    assert pace.delay(10_000, 1) == 90
