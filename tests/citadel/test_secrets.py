"""S2: the classic way: a Secret istio.<account>, made, repaired, renewed in time, removed."""

import asyncio
from typing import Any

import pytest

from mesh.citadel.kube import decoded
from mesh.pki.certificates import seconds_left
from mesh.pki.keypair import KeyPair
from tests import loops
from tests.citadel.rig import DOMAIN, Mesh, eventually, mesh
from tests.citadel.test_rotation import done, wish, with_pilot
from tests.pocketkube.api.rig import Served, add_namespace

pytestmark = pytest.mark.behaviour("S2")


async def labelled(it: Mesh, name: str) -> str:
    """A namespace whose accounts get Secrets."""
    name = f"{name}-{it.namespace}"
    await it.on_api(add_namespace(it.served.api, name, **{"istio-injection": "enabled"}))
    return name


async def good(it: Mesh, namespace: str, account: str) -> KeyPair | None:
    """The account's key and certificate, if its Secret is as it should be."""
    found = await it.find("secrets", f"istio.{account}", namespace)
    if found is None or found["type"] != "istio.io/key-and-cert":
        return None
    data = decoded(found)
    pair = KeyPair(data.get("key.pem", b""), data.get("cert-chain.pem", b""))
    whole = pair.problem() is None and data.get("root-cert.pem") == it.citadel.trust.roots()
    return pair if whole and seconds_left(pair.leaf, it.clock()) > 0 else None


def test_every_account_of_a_labelled_namespace_gets_one(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            namespace, other = await labelled(it, "in"), await asyncio.to_thread(served.namespace)
            await it.account(namespace, "forecast")
            for account in ("default", "forecast"):
                pair = await eventually(lambda a=account: good(it, namespace, a), account)  # type: ignore[misc]
                assert pair.identity.uri == f"spiffe://{DOMAIN}/ns/{namespace}/sa/{account}"
            assert await it.find("secrets", "istio.default", other) is None
            found = await it.get("secrets", "istio.forecast", namespace)
            assert found["metadata"]["ownerReferences"][0]["kind"] == "ServiceAccount"

    loops.run(test())


def test_a_damaged_or_removed_one_is_made_again(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            namespace = await labelled(it, "in")
            await eventually(lambda: good(it, namespace, "default"), "the first")
            damages: list[dict[str, Any]] = [
                {"data": {"key.pem": "QUJD"}},
                {"data": {"cert-chain.pem": None}},
                {"data": {"root-cert.pem": "QUJD"}},
            ]
            for damage in damages:
                await it.patch("secrets", "istio.default", damage, namespace)
                await eventually(lambda: good(it, namespace, "default"), f"repaired after {damage}")
            await it.delete("secrets", "istio.default", namespace)
            await eventually(lambda: good(it, namespace, "default"), "made again")

    loops.run(test())


def test_it_is_renewed_before_it_ends_and_removed_with_its_account(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            namespace = await labelled(it, "in")
            await it.account(namespace, "forecast")
            first = await eventually(lambda: good(it, namespace, "forecast"), "the first")
            it.clock.pass_(days=90 * 0.86)
            await it.patch("namespaces", namespace, {"metadata": {"labels": {"touched": "yes"}}})
            second = await eventually(lambda: newer(it, namespace, first), "a newer one")
            assert second.leaf.serial_number != first.leaf.serial_number
            await it.delete("serviceaccounts", "forecast", namespace)

            async def gone() -> bool:
                return await it.find("secrets", "istio.forecast", namespace) is None

            await eventually(gone, "removed")

    loops.run(test())


async def newer(it: Mesh, namespace: str, than: KeyPair) -> KeyPair | None:
    pair = await good(it, namespace, "forecast")
    return pair if pair and pair.chain != than.chain else None


def test_a_rotation_of_the_root_takes_them_along(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            namespace = await labelled(it, "in")
            first = await eventually(lambda: good(it, namespace, "default"), "the first")
            await wish(it, "now")
            await with_pilot(it, lambda: done(it, "now"), "the rotation's end")
            second = await eventually(lambda: good(it, namespace, "default"), "the second")
            assert second.leaf.issuer != first.leaf.issuer
            assert second.leaf.issuer == it.citadel.trust.bundle.certificates[0].subject

    loops.run(test())


def test_it_can_be_turned_off(served: Served) -> None:
    async def test() -> None:
        async with mesh(served, classic_secrets=False) as it:
            namespace = await labelled(it, "in")

            async def rooted() -> Any:
                return await it.find("configmaps", "istio-ca-root-cert", namespace)

            await eventually(rooted, "the root")
            assert await it.find("secrets", "istio.default", namespace) is None

    loops.run(test())
