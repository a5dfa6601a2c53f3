"""Secrets over ADS with the real Envoy: they arrive, change, are missing or refused, and nothing hangs."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mesh.model.trust import ROOTCA
from mesh.pilot.types import SDS, Resource
from mesh.pki.certificates import load_chain
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import key_pem, new_key
from mesh.pki.serving import client_context
from tests.pilot.ads.authority import FRONTEND, Authority
from tests.pilot.ads.envoy import Envoy, bootstrap, envoy
from tests.pilot.ads.eventually import eventually
from tests.pilot.ads.resources import cluster, endpoints, listener, routes
from tests.pilot.ads.secrets import pair_secret, root_secret, secured, tls_cluster, tls_listener
from tests.pilot.ads.secure import Secure, secure
from tests.pilot.ads.sources import key
from tests.pilot.ads.traffic import call, server
from tests.pilot.ads.whole import proxy, whole
from tests.pilot.ads.world import world

pytestmark = pytest.mark.behaviour("S3")
BOTH = pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])
NAME = "kubernetes://shop"


@asynccontextmanager
async def connected(s: Secure, *, sotw: bool = False) -> AsyncIterator[Envoy]:
    """A real Envoy that speaks mutual TLS with Pilot."""
    config = secured(bootstrap(s.port, sotw=sotw), s.authority.of(FRONTEND), s.authority.pem)
    async with envoy(config) as running:
        yield running


@BOTH
async def test_envoy_comes_up_over_mutual_tls_with_secrets(sotw: bool) -> None:
    authority = Authority()
    async with server("one") as port:
        first = authority.certify(names=("localhost",))
        content = world(
            cluster("a"), endpoints("a", port), tls_listener("l", "r", NAME), routes("r", "a"),
            pair_secret(NAME, first), root_secret(authority), tls_cluster("b"), endpoints("b", port),
        )  # fmt: skip
        async with secure(content, authority=authority) as s, connected(s, sotw=sotw) as e:
            session = await s.pilot.settled()
            await live(e)
            assert session.identity == FRONTEND.uri
            assert set(session.machine.watches[SDS].accepted) == {NAME, ROOTCA}
            assert await e.stat("cluster_manager.warming_clusters") == 0
            assert await shown(e, authority) == first.leaf.serial_number
            second = authority.certify(names=("localhost",))
            s.pilot.change(pair_secret(NAME, second))
            await s.pilot.settled()
            assert await shown(e, authority) == second.leaf.serial_number


@BOTH
async def test_a_new_root_is_in_force_when_the_barrier_says_so(sotw: bool) -> None:
    old, new = Authority("old"), Authority("new")
    async with tls_server(new) as port:
        base = tls_cluster("a"), endpoints("a", port), listener("l", "r"), routes("r", "a")
        async with whole(*base) as w, proxy(w.pilot.xds, sotw=sotw) as e:
            assert (await w.apply("trust", root_secret(old)))["state"] == "in-force"
            await live(e)
            url = await listening(e)
            assert (await call(url)).startswith("503")
            assert await e.stat("cluster.a.ssl.fail_verify_error") > 0
            assert (await w.apply("trust", root_secret(old, new)))["state"] == "in-force"
            assert await call(url) == "secure"


async def test_a_missing_secret_holds_nothing_up_and_is_used_once_it_is_there() -> None:
    authority = Authority()
    async with server("one") as port:
        base = cluster("a"), endpoints("a", port), routes("r", "a")
        async with whole(*base) as w, proxy(w.pilot.xds) as e:
            await live(e)
            verdict = await w.apply("tls", tls_listener("l", "r", NAME), listener("other", "r"))
            assert verdict["state"] == "in-force", verdict
            assert await e.stat("listener_manager.total_listeners_warming") == 0
            url = await listening(e)
            with pytest.raises(OSError):
                await shown(e, authority)
            pair = authority.certify(names=("localhost",))
            assert (await w.apply("secret", pair_secret(NAME, pair)))["state"] == "in-force"
            assert await shown(e, authority) == pair.leaf.serial_number
            assert url


@BOTH
async def test_a_secret_that_envoy_refuses_is_a_nack_and_the_good_one_stays(sotw: bool) -> None:
    authority = Authority()
    pair = authority.certify(names=("localhost",))
    async with server("one") as port:
        base = cluster("a"), endpoints("a", port), tls_listener("l", "r", NAME), routes("r", "a")
        async with whole(*base, pair_secret(NAME, pair)) as w, proxy(w.pilot.xds, sotw=sotw) as e:
            await live(e)
            broken = pair_secret(NAME, pair, key=key_pem(new_key()))
            broken = Resource(broken.name, SDS, broken.version, broken.payload, origins=(key("bad"),))
            verdict = await w.apply("bad", broken)
            assert verdict["state"] == "nack"
            [error] = verdict["errors"]
            assert (error["type"], error["resource"]) == ("SDS", NAME)
            assert await shown(e, authority) == pair.leaf.serial_number
            [status] = await w.get("/debug/syncz")
            assert status["types"]["SDS"]["status"] == "NACK"


async def test_a_listener_and_its_secret_come_and_go_many_times() -> None:
    authority = Authority()
    async with (
        server("one") as port,
        whole(cluster("a"), endpoints("a", port), routes("r", "a"), listener("k", "r")) as w,
        proxy(w.pilot.xds) as e,
    ):
        await live(e)
        for turn in range(10):
            pair, name = authority.certify(names=("localhost",)), f"{NAME}{turn % 3}"
            applied = await w.apply("tls", tls_listener("l", "r", name), pair_secret(name, pair))
            assert applied["state"] == "in-force", applied
            assert await shown(e, authority) == pair.leaf.serial_number
            w.config.delete("tls")
            assert (await w.in_force("tls", deleted=True))["state"] == "in-force"


async def live(e: Envoy) -> None:
    """Envoy has its first configuration and serves it."""

    async def ready() -> bool:
        return (await e.get("/ready")).startswith("LIVE")

    await eventually(ready)


async def listening(e: Envoy) -> str:
    async def there() -> bool:
        return await e.listener("l") is not None

    await eventually(there)
    return await e.listener("l") or ""


async def shown(e: Envoy, authority: Authority) -> int:
    """The serial number of the certificate that the listener shows."""
    port = int((await listening(e)).rpartition(":")[2])
    return await asyncio.to_thread(_leaf, port, client_context(authority.pem.encode()))


def _leaf(port: int, context: ssl.SSLContext) -> int:
    with (
        socket.create_connection(("127.0.0.1", port), 10) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    return load_chain(ssl.DER_cert_to_PEM_cert(der or b"").encode())[0].serial_number


@asynccontextmanager
async def tls_server(authority: Authority) -> AsyncIterator[int]:
    """An HTTPS server whose certificate is of an authority."""
    from aiohttp import web

    from mesh.pki.serving import load_pair

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="secure")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair: KeyPair = authority.certify(names=("localhost",))
    load_pair(context, pair)
    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_no_private_key_is_shown_by_the_debug_interface() -> None:
    from mesh.model import ConfigObject, ObjectKey
    from mesh.model.trust import Credential

    pair = Authority().certify(names=("localhost",))
    async with whole(pair_secret(NAME, pair)) as w:
        place = ObjectKey("Secret", "weather", "shop")
        spec = Credential(cert=pair.chain.decode(), key=pair.key.decode())
        w.config._objects[place] = ConfigObject(place, "", "v1", spec)
        for path in ("config", "registry", "history", "deliveries", "statistics", "syncz", "agents"):
            text = json.dumps(await w.get(f"/debug/{path}"))
            assert "PRIVATE KEY" not in text
        assert "(hidden)" in json.dumps(await w.get("/debug/config"))
