"""S1: the operator's own authority is checked at the start; the error names what is wrong with which part."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh.citadel.authority import Authority
from mesh.citadel.errors import BadAuthority
from mesh.citadel.kube import encoded
from mesh.citadel.pems import written
from mesh.citadel.publishing import bundle_of
from mesh.pki.certificates import chain_pem, chain_problem, load_chain
from mesh.pki.keys import key_pem, new_key
from tests import loops
from tests.citadel.authorities import YEAR, chained, made
from tests.citadel.rig import certificate, ensure_account, mesh
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S1")
NOW = datetime.now(UTC)
STATE = "istio-ca-secret"


def texts(**changes: Any) -> dict[str, bytes]:
    return written(chained(NOW, **changes)[0])


def with_(data: dict[str, bytes], **changes: bytes | None) -> dict[str, bytes]:
    named = {name.replace("_", "-") + ".pem": value for name, value in changes.items()}
    return {name: value for name, value in (data | named).items() if value is not None}


def short_path() -> dict[str, bytes]:
    """A root that allows no authority below it, with one below it."""
    root_key, key = new_key(), new_key()
    root = made("strict root", root_key, now=NOW, length=0)
    below = made("mesh", key, by=(root, root_key), now=NOW)
    return written(Authority(below, key, (), (root,))) | {"cert-chain.pem": chain_pem([below])}


def strict_middle() -> dict[str, bytes]:
    root_key, middle_key, key = new_key(), new_key(), new_key()
    root = made("root", root_key, now=NOW)
    middle = made("strict", middle_key, by=(root, root_key), now=NOW, length=0)
    below = made("mesh", key, by=(middle, middle_key), now=NOW)
    return written(Authority(below, key, (middle,), (root,)))


BAD: dict[str, tuple[Callable[[], dict[str, bytes]], str]] = {
    "no key": (lambda: with_(texts(), ca_key=None), "has no key 'ca-key.pem'"),
    "no certificate": (lambda: with_(texts(), ca_cert=b" "), "has no key 'ca-cert.pem'"),
    "no root": (lambda: with_(texts(), root_cert=None), "has no key 'root-cert.pem'"),
    "rubbish": (lambda: with_(texts(), ca_cert=b"rubbish"), "ca-cert.pem: no certificates can be read"),
    "rubbish key": (lambda: with_(texts(), ca_key=b"rubbish"), "ca-key.pem: not a private key"),
    "another key": (
        lambda: with_(texts(), ca_key=key_pem(new_key())),
        "ca-key.pem: the private key does not",
    ),
    "expired": (lambda: texts(ends=timedelta(days=-1)), "ca-cert.pem: the certificate expired at"),
    "not yet": (lambda: texts(begins=timedelta(days=1)), "ca-cert.pem: the certificate is not valid before"),
    "no authority": (
        lambda: texts(ca=False, bits=("digital_signature",)),
        "ca-cert.pem: the certificate is not",
    ),
    "no right to sign": (lambda: texts(bits=("digital_signature",)), "lacks keyCertSign"),
    "another root": (
        lambda: with_(texts(), root_cert=written(chained(NOW)[0])["root-cert.pem"]),
        "cert-chain.pem: the chain does not lead to a certificate of root-cert.pem",
    ),
    "no chain": (lambda: with_(texts(), cert_chain=None), "cert-chain.pem: the chain does not lead"),
    "path too long": (strict_middle, "cert-chain.pem: 'CN=strict' allows 0 authorities below it"),
    "path too long for the root": (short_path, "root-cert.pem: 'CN=strict root' allows 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named(served: Served, case: str) -> None:
    make, words = BAD[case]

    async def test() -> None:
        namespace = await prepared(served, make())
        with pytest.raises(BadAuthority) as caught:
            async with mesh(served, namespace=namespace):
                pass
        assert str(caught.value).startswith(f"Secret {namespace}/cacerts")
        assert words in str(caught.value)

    loops.run(test())


async def prepared(served: Served, data: dict[str, bytes], name: str = "cacerts") -> str:
    """A namespace with a Secret."""
    namespace = await asyncio.to_thread(served.namespace)
    await ensure_account(served, namespace, "istio-citadel")
    secret = {"metadata": {"name": name}, "type": "Opaque", "data": encoded(data)}
    await asyncio.to_thread(served.run, served.api.create("secrets", secret, namespace))
    return namespace


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "rsa-2048"])
def test_the_operators_authority_issues_with_its_whole_chain(served: Served, algorithm: Any) -> None:
    async def test() -> None:
        authority, root = chained(NOW, algorithm=algorithm, ends=timedelta(days=30))
        async with mesh(served, namespace=await prepared(served, written(authority))) as it:
            me = await it.account(it.namespace, "forecast")
            pair = await certificate(it, me, seconds=int(90 * YEAR.total_seconds() / 365))
            chain = load_chain(pair.chain)
            assert chain[1:] == [authority.certificate, *authority.above]
            assert chain_problem(chain, [root], it.clock()) is None
            assert pair.leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc
            assert len(it.citadel.trust.current.crl) > 0

    loops.run(test())


def test_an_authority_that_may_not_sign_lists_publishes_none(served: Served) -> None:
    async def test() -> None:
        authority, _ = chained(NOW, bits=("key_cert_sign", "digital_signature"))
        async with mesh(served, namespace=await prepared(served, written(authority))) as it:
            assert bundle_of(await it.get("configmaps", "istio-trust")).crl == ""
            await certificate(it, await it.account(it.namespace, "forecast"))

    loops.run(test())


def test_a_bad_one_that_comes_later_changes_nothing(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            roots = it.citadel.trust.roots()
            bad = encoded(with_(texts(), ca_key=key_pem(new_key())))
            await it.create("secrets", {"metadata": {"name": "cacerts"}, "type": "Opaque", "data": bad})
            await it.citadel.core.step()
            assert it.citadel.trust.roots() == roots
            await certificate(it, await it.account(it.namespace, "forecast"))

    loops.run(test())


def test_the_secret_of_an_istio_that_was_here_is_taken_over(served: Served) -> None:
    """Istio keeps its self-signed root without a copy in `root-cert.pem`; it may not sign lists."""

    async def test() -> None:
        key = new_key("rsa-2048")
        root = made("cluster.local", key, now=NOW, bits=("key_cert_sign",))
        data = {"ca-cert.pem": chain_pem([root]), "ca-key.pem": key_pem(key)}
        namespace = await prepared(served, data | {"root-cert.pem": b"", "cert-chain.pem": b""}, STATE)
        async with mesh(served, namespace=namespace) as it:
            assert it.citadel.trust.bundle.certificates == (root,)
            assert it.citadel.trust.current.crl == ""
            me = await it.account(namespace, "forecast")
            assert load_chain((await certificate(it, me)).chain)[0].issuer == root.subject

    loops.run(test())


def test_a_state_that_is_damaged_at_the_start_is_not_replaced_in_silence(served: Served) -> None:
    async def test() -> None:
        for data, words in (
            (with_(texts(), ca_cert=b"rubbish"), "istio-ca-secret, ca-cert.pem: no certificates can be read"),
            (
                with_(texts(), ca_key=key_pem(new_key())),
                "istio-ca-secret, ca-key.pem: the private key does not",
            ),
        ):
            namespace = await prepared(served, data, STATE)
            with pytest.raises(BadAuthority, match=words):
                async with mesh(served, namespace=namespace):
                    pass

    loops.run(test())
