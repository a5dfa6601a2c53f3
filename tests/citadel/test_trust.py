"""S1, S3: trust and revocations are published, reach every namespace and webhook, and are put back."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest

from mesh.citadel.publishing import bundle_of
from mesh.pki import csr as csrs
from mesh.pki import wire
from mesh.pki.client import SigningRefused
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import new_key
from mesh.pki.spiffe import Identity
from tests import loops
from tests.citadel.rig import Mesh, by_certificate, certificate, channel, eventually, mesh
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S1", "S3")


async def revoke(it: Mesh, key: str, **entry: Any) -> None:
    """Write an entry of istio-revocations, as meshctl does."""
    text = json.dumps({"reason": "keyCompromise", "time": datetime.now(UTC).isoformat(), **entry})

    if await it.find("configmaps", "istio-revocations") is None:
        await it.create("configmaps", {"metadata": {"name": "istio-revocations"}, "data": {}})
    await it.patch("configmaps", "istio-revocations", {"data": {key: text}})


async def listed(it: Mesh, pair: KeyPair) -> bool:
    """Whether the published lists hold a certificate."""
    return it.citadel.trust.bundle.revocations.reason(pair.leaf) is not None


def test_a_revoked_certificate_is_refused_at_once_on_open_connections_too(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pair, other = await certificate(it, me), await certificate(it, me)
            async with channel(it, pair) as call:
                await call(wire.certificate_request(csrs.request(me, new_key()), 60), timeout=20)
                await revoke(it, "one", serials=[f"{pair.leaf.serial_number:x}"])
                await eventually(lambda: listed(it, pair), "the list")
                with pytest.raises(grpc.aio.AioRpcError, match="was revoked \\(keyCompromise\\)"):
                    await call(wire.certificate_request(csrs.request(me, new_key()), 60), timeout=20)
            with pytest.raises(SigningRefused, match="was revoked"):
                await by_certificate(it, pair, me)
            await by_certificate(it, other, me)
            # The workload itself may still prove itself by its token, and gets a certificate that counts.
            client = await it.client(me)
            await client.sign(csrs.request(me, new_key()), seconds=60, present=pair)
            published = bundle_of(await it.get("configmaps", "istio-trust"))
            assert published == it.citadel.trust.current

    loops.run(test())


def test_a_revoked_identity_gets_no_certificate_until_it_is_restored(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            first, second = await certificate(it, me), await certificate(it, me)
            await revoke(it, "identity-1", identity=me.uri, deny=True)
            for pair in (first, second):
                await eventually(lambda pair=pair: listed(it, pair), "the list")  # type: ignore[misc]
            with pytest.raises(SigningRefused, match="certificates are denied"):
                await certificate(it, me)
            await it.patch("configmaps", "istio-revocations", {"data": {"identity-1": None}})

            async def restored() -> bool:
                return not await listed(it, first)

            await eventually(restored, "the list without it")
            await by_certificate(it, first, me)

    loops.run(test())


def test_the_ledger_survives_a_restart(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pairs = [await certificate(it, me) for _ in range(3)]
            roots = it.citadel.trust.roots()
            namespace = it.namespace
        async with mesh(served, namespace=namespace) as it:
            assert it.citadel.trust.roots() == roots
            await revoke(it, "identity-1", identity=me.uri, deny=False)
            for pair in pairs:
                await eventually(lambda pair=pair: listed(it, pair), "the list")  # type: ignore[misc]
            again = await certificate(it, me)
            assert not await listed(it, again)

    loops.run(test())


def test_trust_is_not_published_again_without_reason(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pair = await certificate(it, me)
            await revoke(it, "one", serials=[f"{pair.leaf.serial_number:x}"])
            await eventually(lambda: listed(it, pair), "the list")
            before = (await it.get("configmaps", "istio-trust"))["metadata"]["resourceVersion"]
            for _ in range(3):
                await it.citadel.core.step()
            it.clock.pass_(days=2)  # its certificate has expired; it stays listed until something changes
            await it.citadel.core.step()
            assert (await it.get("configmaps", "istio-trust"))["metadata"]["resourceVersion"] == before
            namespace = it.namespace
        async with mesh(served, namespace=namespace) as it:
            assert (await it.get("configmaps", "istio-trust"))["metadata"]["resourceVersion"] == before

    loops.run(test())


def test_the_root_reaches_every_namespace_and_is_put_back(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            late = await asyncio.to_thread(served.namespace)
            root = it.citadel.trust.current.root_cert

            async def right(namespace: str) -> bool:
                found = await it.find("configmaps", "istio-ca-root-cert", namespace)
                return found is not None and found["data"] == {"root-cert.pem": root}

            for namespace in ("default", it.namespace, late):
                await eventually(lambda namespace=namespace: right(namespace), namespace)  # type: ignore[misc]
            await it.patch("configmaps", "istio-ca-root-cert", {"data": {"root-cert.pem": "x"}}, late)
            await eventually(lambda: right(late), "damage repaired")
            await it.delete("configmaps", "istio-ca-root-cert", late)
            await eventually(lambda: right(late), "put back")

    loops.run(test())


def webhook_configuration(name: str, app: str) -> dict[str, Any]:
    client = {"service": {"name": app, "namespace": "istio-system", "path": "/inject"}, "caBundle": "AAAA"}
    webhook = {
        "name": "a.istio.io",
        "clientConfig": client,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
    }
    return {
        "metadata": {"name": name, "labels": {"app": app}},
        "webhooks": [webhook, {**webhook, "name": "b.istio.io"}],
    }


def test_webhooks_trust_the_mesh_and_only_the_meshs_webhooks(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            kind = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
            ours, others = f"ours-{it.namespace}", f"others-{it.namespace}"
            for name, app in ((ours, "istio-sidecar-injector"), (others, "somebody")):
                await it.create(kind, webhook_configuration(name, app))
            wanted = base64.b64encode(it.citadel.trust.roots()).decode()

            async def bundles(name: str) -> set[str]:
                found = await it.get(kind, name, "")
                return {each["clientConfig"]["caBundle"] for each in found["webhooks"]}

            async def right() -> bool:
                return await bundles(ours) == {wanted}

            await eventually(right, "the bundle")
            assert await bundles(others) == {"AAAA"}
            for name in (ours, others):
                await it.delete(kind, name)

    loops.run(test())


def test_the_authority_is_put_back_when_it_is_removed_or_damaged(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            secret = await it.get("secrets", "istio-ca-secret")

            async def whole() -> bool:
                found = await it.find("secrets", "istio-ca-secret")
                return found is not None and found["data"] == secret["data"]

            await it.delete("secrets", "istio-ca-secret")
            await eventually(whole, "put back")
            await it.patch("secrets", "istio-ca-secret", {"data": {"ca-cert.pem": "QUJD"}})
            await eventually(whole, "repaired")
            await certificate(it, Identity("cluster.local", it.namespace, "default"))

    loops.run(test())


def test_published_trust_and_the_ledger_are_put_back(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pair = await certificate(it, me)
            serial = f"{pair.leaf.serial_number:x}"
            whole = await it.get("configmaps", "istio-trust")
            await it.patch("configmaps", "istio-trust", {"data": {"root-cert.pem": "x", "crl.pem": "y"}})

            async def right() -> bool:
                found = await it.find("configmaps", "istio-trust")
                return found is not None and bundle_of(found).root_cert == bundle_of(whole).root_cert

            await eventually(right, "repaired")
            await it.delete("configmaps", "istio-trust")
            await eventually(right, "put back")
            (place,) = await ledgers(it)
            await it.delete("configmaps", place["metadata"]["name"])

            async def kept() -> bool:
                return any(serial in each["data"] for each in await ledgers(it))

            await eventually(kept, "written again")

    loops.run(test())


async def ledgers(it: Mesh) -> list[dict[str, Any]]:
    """The ConfigMaps of the ledger."""

    async def read() -> list[dict[str, Any]]:
        return it.served.api.list("configmaps", it.namespace, labels="trust.istio.io/ledger=true")[0]

    found: list[dict[str, Any]] = await it.on_api(read())
    return found


def test_the_ledger_forgets_what_has_ended(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pair = await certificate(it, me, seconds=600)
            serial = f"{pair.leaf.serial_number:x}"
            it.clock.pass_(hours=2)

            async def forgotten() -> bool:
                await it.upkeep()  # again, if what was seen just before brought it back
                kept = any(serial in each.get("data", {}) for each in await ledgers(it))
                return it.citadel.ledger.get(serial) is None and not kept

            await eventually(forgotten, "forgotten")
            assert len(it.citadel.ledger) > 0  # Citadel's own lasts a day

    loops.run(test())
