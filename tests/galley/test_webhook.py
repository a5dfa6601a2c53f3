"""G1: the API server asks Galley before it takes configuration; kubectl shows why something is refused."""

import asyncio
import json
import subprocess
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from mesh.galley.webhook import Webhook, listening
from mesh.pki.serving import client_context
from tests import loops
from tests.galley.rig import WEBHOOKS, Ca, gate, on
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S3", "G1")

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: open, namespace: NAMESPACE}
spec:
  action: DENY
  rules:
    - from: [{source: {ipBlocks: [10.0.0.0/99], principals: ["spiffe://cluster.local/ns/a/sa/b"]}}]
      to: [{operation: {ports: ["0"]}}]
      when: [{key: request.header, values: [a]}]
"""
GOOD = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: forecast, namespace: NAMESPACE}
spec: {host: forecast}
"""


async def apply(served: Served, text: str, namespace: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The real kubectl applies it."""
    text = text.replace("NAMESPACE", namespace)
    return await asyncio.to_thread(served.kubectl, "apply", "-f", "-", stdin=text, **more)


def test_kubectl_is_told_everything_that_is_wrong(served: Served) -> None:
    namespace = served.namespace()

    async def test() -> None:
        async with gate(served) as webhook:
            refused = await apply(served, POLICY, namespace, check=False)
            assert refused.returncode == 1
            for words in (
                "rules[0].from[0].source.ipBlocks[0]", "rules[0].to[0].operation.ports[0]: '0' is not a port",
                "rules[0].when[0].key: 'request.header' is not an attribute",
            ):  # fmt: skip
                assert words in refused.stderr, refused.stderr
            reasons = ("security.istio.io", "AuthorizationPolicy", "invalid_resource")
            assert webhook.metrics.failed.labels(*reasons)._value.get() == 1

    loops.run(test())


def test_what_is_doubtful_is_admitted_with_a_warning(served: Served) -> None:
    namespace = served.namespace()
    doubtful = (
        POLICY.replace("10.0.0.0/99", "10.0.0.0/8")
        .replace('"0"', '"80"')
        .replace("request.header", "source.ip")
    ).replace("values: [a]", "values: [10.0.0.1]")

    async def test() -> None:
        async with gate(served) as webhook:
            admitted = await apply(served, doubtful, namespace)
            assert "Warning: spec.rules[0].from[0].source.principals[0]" in admitted.stderr
            assert "write it without spiffe://" in admitted.stderr
            assert webhook.metrics.passed.labels("security.istio.io", "AuthorizationPolicy")._value.get() == 1

    loops.run(test())


def test_a_change_for_the_worse_is_refused_and_the_good_one_stays(served: Served) -> None:
    namespace = served.namespace()

    async def test() -> None:
        async with gate(served):
            await apply(served, GOOD, namespace)
            refused = await apply(
                served, GOOD.replace("host: forecast", "host: 'a b'"), namespace, check=False
            )
            assert "spec.host: 'a b' is not a host name" in refused.stderr
            kept = await asyncio.to_thread(
                served.kubectl, "get", "dr", "forecast", "-n", namespace, "-o", "jsonpath={.spec.host}"
            )
            assert kept.stdout == "forecast"
            await asyncio.to_thread(served.kubectl, "delete", "dr", "forecast", "-n", namespace)

    loops.run(test())


def test_a_dead_galley_lets_nothing_in(served: Served) -> None:
    namespace = served.namespace()

    async def test() -> None:
        async with gate(served):
            found = await on(served, _get(served, WEBHOOKS, "istio-galley"))
            client = {**found["webhooks"][0]["clientConfig"], "url": "https://localhost:1/validate"}
            closed = {"webhooks": [{**found["webhooks"][0], "clientConfig": client}]}
            await on(served, served.api.patch(WEBHOOKS, "istio-galley", "", closed))
            refused = await apply(served, GOOD, namespace, check=False)
            assert "failed calling webhook" in refused.stderr

    loops.run(test())


async def _get(served: Served, resource: str, name: str) -> Any:
    return json.loads(json.dumps(served.api.get(resource, name)))


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"request": 5}', b'{"request": {"uid": "a"}}', b"[" * 100_000, b"\xff\xfe",
     b'{"request": {"uid": "a", "kind": {"group": "g", "kind": "K"}, "operation": "CREATE", "object": 5}}'],
)  # fmt: skip
def test_what_is_no_question_is_refused_without_a_fault(body: bytes) -> None:
    async def test() -> None:
        ca, webhook = Ca(), Webhook()
        async with (
            listening(webhook, await ca.holder("istio-galley"), host="127.0.0.1", port=0) as port,
            aiohttp.ClientSession() as session,
            session.post(
                f"https://localhost:{port}/validate", data=body, ssl=client_context(ca.root)
            ) as answer,
        ):
            assert answer.status == 400, await answer.text()
            assert webhook.metrics.unreadable.labels("400")._value.get() == 1

    loops.run(test())


def test_the_certificate_is_the_present_one_while_the_webhook_serves() -> None:
    async def test() -> None:
        ca = Ca()
        holder = await ca.holder("istio-galley")
        async with listening(Webhook(), holder, host="127.0.0.1", port=0) as port:
            shown = [await serial(port, ca)]
            await holder.renew("its time is near")
            shown.append(await serial(port, ca))
            assert shown[0] != shown[1] == holder.pair.leaf.serial_number

    loops.run(test())


async def serial(port: int, ca: Ca) -> int:
    """The serial number of the certificate that a new connection sees."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=client_context(ca.root), server_hostname="istio-galley.istio-system.svc"
    )
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown).serial_number
    finally:
        writer.close()
        await writer.wait_closed()
