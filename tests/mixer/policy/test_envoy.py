"""A real Envoy asks istio-policy: refusals, headers, quotas, TCP, and what happens without an answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.mixer.peers import Stranger
from mesh.pki.spiffe import Identity
from tests.galley.rig import Ca
from tests.loops import run
from tests.mixer.policy.envoy import Proxy, proxy
from tests.mixer.policy.rig import Rig, action, handler, instance, request, rule, running
from tests.mixer.policy.test_quotas import COUNT, KEEP, bound, budget, charged, quota

pytestmark = pytest.mark.behaviour("W8", "P4")

NOTHING = instance("nothing", "checknothing")
BAD = 'request.headers["bad"] == "1"'


@asynccontextmanager
async def asking(
    folder: Path, *objects: dict[str, Any], account: str = "default"
) -> AsyncIterator[tuple[Rig, Proxy]]:
    """istio-policy with these rules, and an Envoy of an account that asks it."""
    ca = Ca()
    own = await ca.holder("istio-policy")
    async with running(folder, *objects, identity=own, trust=ca.trust) as rig:
        caller = await ca.holder(account, "weather")
        async with proxy(folder, rig.policy.grpc, caller, ca.root) as envoy:
            yield rig, envoy


def test_a_refusal_reaches_the_caller_as_it_is(tmp_path: Path) -> None:
    async def work() -> None:
        deny = handler("deny", "probe", code=7, message="not you")
        async with asking(tmp_path, deny, NOTHING, rule("r", BAD, [action("deny", "nothing")])) as (_, envoy):
            assert (await envoy.get()).status == 200
            refused = await envoy.get({"bad": "1"})
            assert refused.status == 403
            assert refused.text == "PERMISSION_DENIED:deny.istio-system:not you"
            assert refused.headers["content-type"] == "text/plain"

    run(work())


def test_headers_are_changed_on_both_ways(tmp_path: Path) -> None:
    async def work() -> None:
        changes = rule(
            "r",
            actions=[action("look", "nothing", name="found")],
            requestHeaderOperations=[
                {"name": "x-role", "values": ["found.output.role"]},
                {"name": "x-trail", "values": ['"two"'], "operation": "APPEND"},
                {"name": "x-secret", "operation": "REMOVE"},
                {"name": "x-new", "values": ['"a"', '"b"']},
            ],
            responseHeaderOperations=[
                {"name": "x-checked", "values": ['"yes"']},
                {"name": "X-Powered-By", "operation": "REMOVE"},
            ],
        )
        look = handler("look", "probe", output={"role": "admin"})
        async with asking(tmp_path, look, NOTHING, changes) as (_, envoy):
            answer = await envoy.get({"x-role": "none", "x-trail": "one", "x-secret": "s"})
            sent = answer.sent
            assert sent["x-role"] == "admin"
            assert (sent["x-trail"], sent["x-new"]) == ("one,two", "a,b")
            assert "x-secret" not in sent
            assert answer.headers["x-checked"] == "yes"
            assert "x-powered-by" not in answer.headers

    run(work())


def test_a_quota_says_when_to_come_back(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [budget(2, retry_after=7.0), COUNT, KEEP, charged(quota()), bound()]
        async with asking(tmp_path, *objects) as (_, envoy):
            assert [(await envoy.get()).status for _ in range(2)] == [200, 200]
            refused = await envoy.get()
            assert refused.status == 429
            assert refused.headers["retry-after"] == "7"
            assert refused.text.startswith("RESOURCE_EXHAUSTED:")

    run(work())


def test_a_connection_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        deny = handler("deny", "probe", code=7)
        tcp = rule("r", 'context.protocol == "tcp"', [action("deny", "nothing")])
        async with asking(tmp_path, deny, NOTHING, tcp) as (rig, envoy):
            assert await envoy.line() == b""
            await rig.change()
            assert await envoy.line() == b"HTTP/1.1 200"

    run(work())


def test_without_an_answer_the_fail_policy_decides(tmp_path: Path) -> None:
    async def work() -> None:
        bad = handler("bad", "probe", raises="boom")
        always = rule("r", actions=[action("bad", "nothing")])
        async with asking(tmp_path, bad, NOTHING, always) as (rig, envoy):
            assert (await envoy.get()).status == 503
            assert (await envoy.get(fail_open=True)).status == 200
            assert await rig.metric('mixer_policy_failures_total{reason="adapter"}') == 2
            await rig.policy.server.stop()
            assert (await envoy.get()).status == 503
            assert (await envoy.get(fail_open=True)).status == 200

    run(work())


def test_a_proxy_may_ask_about_its_own_workload_only(tmp_path: Path) -> None:
    async def work() -> None:
        async with asking(tmp_path, account="thief") as (rig, envoy):
            assert (await envoy.get()).status == 503
            assert await rig.metric('mixer_policy_failures_total{reason="caller"}') == 1

    run(work())


def test_a_revoked_certificate_is_no_proof_any_more(tmp_path: Path) -> None:
    async def work() -> None:
        ca = Ca()
        own, caller = await ca.holder("istio-policy"), await ca.holder("default", "weather")
        async with (
            running(tmp_path, identity=own, trust=ca.trust) as rig,
            proxy(tmp_path, rig.policy.grpc, caller, ca.root) as envoy,
        ):
            assert (await envoy.get()).status == 200
            ca.revoke(caller.pair.leaf.serial_number)
            assert (await envoy.get()).status == 503, "on the connection that is open"

    run(work())


def test_a_workload_that_is_not_known_yet_is_of_the_callers_namespace(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            caller, attributes = Identity("cluster.local", "weather", "x"), rig.policy.server.attributes
            asked = request(destination="10.9.9.9").attributes
            attributes.confirm(caller, attributes.of(asked, {"destination.namespace": "weather"}))
            with pytest.raises(Stranger, match="namespace other, where it does not run"):
                attributes.confirm(caller, attributes.of(asked, {"destination.namespace": "other"}))

    run(work())
