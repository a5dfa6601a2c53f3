"""The protocol with the real Envoy, on loopback, in both forms."""

import pytest

from mesh.pilot.debug.status import proxy_status
from mesh.pilot.types import CDS, EDS, LDS, RDS
from tests.pilot.ads.envoy import Envoy, bootstrap, envoy
from tests.pilot.ads.eventually import eventually
from tests.pilot.ads.pilot import Pilot, pilot
from tests.pilot.ads.resources import bad_cluster, bad_routes, cluster, endpoints, listener, routes
from tests.pilot.ads.traffic import Traffic, call, server
from tests.pilot.ads.world import World, world

BOTH = pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])


def service(port: int) -> World:
    return world(cluster("a"), endpoints("a", port), listener("l", "r"), routes("r", "a"))


async def url_of(running: Envoy) -> str:
    """Where Envoy's listener listens, once it does."""

    async def there() -> bool:
        return await running.listener("l") is not None

    await eventually(there)
    url = await running.listener("l")
    assert url is not None
    return url


@pytest.mark.behaviour("X1")
@BOTH
async def test_envoy_comes_up_and_routes(sotw: bool) -> None:
    async with server("one") as port, pilot(service(port)) as p, envoy(bootstrap(p.port, sotw=sotw)) as e:
        session = await p.settled()
        assert await call(await url_of(e)) == "one"
        assert {kind for kind, sent in session.sent.items() if sent.error is None} == {CDS, EDS, LDS, RDS}
        assert all(status["status"] == "SYNCED" for status in proxy_status(session)["types"].values())


@pytest.mark.behaviour("X1", "X3")
@BOTH
async def test_endpoints_change(sotw: bool) -> None:
    async with (
        server("one") as first,
        server("two") as second,
        pilot(service(first)) as p,
        envoy(bootstrap(p.port, sotw=sotw)) as e,
    ):
        session = await p.settled()
        before = len(session.journal)
        p.change(endpoints("a", second))
        await p.settled()
        assert [delivery.type_url for delivery in list(session.journal)[before:]] == [EDS]

        async def two() -> bool:
            return await call(await url_of(e)) == "two"

        await eventually(two)


@pytest.mark.behaviour("X1")
@BOTH
async def test_a_changed_cluster_is_warm_and_acknowledged_at_once(sotw: bool) -> None:
    """Envoy keeps back its ACK until the changed cluster has endpoints, but does not ask for them again."""
    async with server("one") as port, pilot(service(port)) as p, envoy(bootstrap(p.port, sotw=sotw)) as e:
        session = await p.settled()
        p.change(cluster("a", connect_timeout_ms=2000))
        await p.settled()
        took = session.answered[CDS].answered_at - session.answered[CDS].sent_at  # type: ignore[operator]
        assert took < 10  # 15 s is Envoy's patience with endpoints that do not come
        assert await e.stat("cluster_manager.warming_clusters") == 0
        assert await call(await url_of(e)) == "one"


@pytest.mark.behaviour("X1")
@BOTH
async def test_traffic_moves_from_cluster_to_cluster_and_no_request_fails(sotw: bool) -> None:
    async with (
        server("one") as first,
        server("two") as second,
        pilot(service(first)) as p,
        envoy(bootstrap(p.port, sotw=sotw)) as e,
    ):
        await p.settled()
        async with Traffic(await url_of(e)) as traffic:
            for turn in range(10):
                old, new = (("a", "b"), ("b", "a"))[turn % 2]
                target = (second, first)[turn % 2]
                p.change(
                    cluster(new, connect_timeout_ms=1000 + turn),
                    endpoints(new, target),
                    routes("r", new),
                    listener("l", "r", prefix=f"turn{turn}"),
                    without=((CDS, old), (EDS, old)),
                )
                await p.settled()
                await traffic.more(20)
        assert traffic.answers.keys() == {"one", "two"}


@pytest.mark.behaviour("X2")
@BOTH
async def test_envoy_refuses_routes_and_says_why(sotw: bool) -> None:
    async with server("one") as port, pilot(service(port)) as p, envoy(bootstrap(p.port, sotw=sotw)) as e:
        session = await p.settled()
        p.change(bad_routes("r"))
        await p.until(lambda: bool(session.rejections()))
        refusal = session.rejections()[RDS]["r"]
        assert "Domains: value must contain at least 1 item" in refusal.error
        status = proxy_status(session)["types"]["RDS"]
        assert status["status"] == "NACK"
        assert "Domains" in status["error"]
        metrics = p.sessions.metrics.exposition().decode()
        assert 'pilot_total_xds_rejects_total{type="rds"} 1.0' in metrics
        assert await call(await url_of(e)) == "one"  # with its last good routes
        p.change(routes("r", "a", retries=True))
        await p.settled()
        assert proxy_status(session)["types"]["RDS"]["status"] == "SYNCED"


@pytest.mark.behaviour("X2")
@BOTH
async def test_one_bad_cluster_keeps_no_good_one_out(sotw: bool) -> None:
    async with server("one") as port, pilot(service(port)) as p, envoy(bootstrap(p.port, sotw=sotw)) as e:
        session = await p.settled()
        p.change(bad_cluster("bad"), *(cluster(name) for name in "bcd"), *(endpoints(n, port) for n in "bcd"))
        await p.settled()
        assert list(session.rejections()[CDS]) == ["bad"]
        active = {entry["cluster"]["name"] for entry in await e.config("dynamic_active_clusters")}
        assert active == {"a", "b", "c", "d"}


@pytest.mark.behaviour("X2")
async def test_what_one_proxy_refuses_disturbs_no_other() -> None:
    async with (
        server("one") as port,
        pilot(service(port)) as p,
        envoy(bootstrap(p.port, name="first")) as e,
        envoy(bootstrap(p.port, name="second", sotw=True)),
    ):
        first, second = await p.settled("first"), await p.settled("second")
        p.change(bad_routes("r"), cluster("b"), endpoints("b", port))
        await p.settled("first")
        await p.settled("second")
        assert first.rejections() and second.rejections()
        p.change(routes("r", "b"))
        await p.settled("first")
        await p.settled("second")
        assert not first.rejections() and not second.rejections()
        assert await call(await url_of(e)) == "one"


@pytest.mark.behaviour("X4")
@BOTH
async def test_pilot_restarts_under_traffic_and_no_request_fails(sotw: bool) -> None:
    async with server("one") as first, server("two") as second:
        was = service(first)
        async with pilot(was) as p:
            running = envoy(bootstrap(p.port, sotw=sotw))
            e = await running.__aenter__()
            await p.settled()
            port = p.port
        try:
            async with Traffic(await url_of(e)) as traffic:
                await traffic.more(20)
                async with pilot(was, port=port) as p:
                    await everything_sent_again(p, sotw=sotw)
                    await traffic.more(20)
                changed = was.with_resources(endpoints("a", second), routes("r", "a", retries=True))
                async with pilot(changed, port=port) as p:
                    await p.settled()
                    await traffic.more(20)
            assert traffic.answers.keys() == {"one", "two"}
        finally:
            await running.__aexit__(None, None, None)


async def everything_sent_again(p: Pilot, *, sotw: bool) -> None:
    """After a restart delta sends what differs (and endpoints, in case Envoy waits for them)."""
    session = await p.settled()
    sent = [delivery.type_url for delivery in session.journal]
    assert sorted(sent) == (sorted([CDS, EDS, LDS, RDS]) if sotw else [EDS])


@pytest.mark.behaviour("X1")
async def test_a_cluster_without_an_answer_for_its_endpoints_is_seen_to_warm() -> None:
    """Only state-of-the-world has no words for `there is no such thing`, so Envoy waits."""
    start = world(cluster("a"), listener("l", "r"), routes("r", "a"))
    async with server("one") as port, pilot(start) as p, envoy(bootstrap(p.port, sotw=True)) as e:
        session = await p.session()
        await p.until(lambda: CDS in session.answered)
        assert list(session.machine.owed) == [(EDS, "a")]
        assert await e.stat("cluster_manager.warming_clusters") == 1
        p.change(endpoints("a", port))
        await p.settled()
        assert await call(await url_of(e)) == "one"
