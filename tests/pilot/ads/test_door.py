"""Who may speak to Pilot: real TLS, certificates of every kind, and what each caller is told."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from mesh.model import Workload
from mesh.pki.certificates import load_chain
from mesh.pki.keypair import KeyPair
from mesh.pki.serving import client_context
from mesh.pki.spiffe import Identity
from tests.pilot.ads.authority import FRONTEND, Authority
from tests.pilot.ads.resources import cluster, endpoints
from tests.pilot.ads.secure import Secure, secure
from tests.pilot.ads.world import world

pytestmark = pytest.mark.behaviour("S3")
BASE = cluster("a"), endpoints("a", 1)
ADVERTISEMENT = Identity("cluster.local", "weather", "advertisement")
ELSEWHERE = Identity("cluster.local", "bank", "frontend")
FORMS = pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])


@FORMS
async def test_a_proxy_gets_the_configuration_of_its_identity(sotw: bool) -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND), sotw=sotw) as client:
        await client.asks()
        response = await client.hears()
        assert response.type_url.endswith("Cluster")
        [session] = s.pilot.sessions
        assert session.identity == "spiffe://cluster.local/ns/weather/sa/frontend"


@FORMS
async def test_a_proxy_that_asks_as_another_account_is_refused_with_both_names(sotw: bool) -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND), sotw=sotw) as client:
        await client.asks(identity=ADVERTISEMENT)
        code, words = await client.refusal()
        assert code == "PERMISSION_DENIED"
        assert "service account weather/advertisement" in words
        assert "its certificate is of service account weather/frontend" in words
        assert len(s.pilot.sessions) == 0
        assert s.metric("pilot_xds_refused_streams_total", reason="PERMISSION_DENIED") == 1


async def test_a_proxy_that_asks_for_another_namespace_is_refused() -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND)) as client:
        await client.asks(identity=ELSEWHERE)
        code, words = await client.refusal()
        assert code == "PERMISSION_DENIED"
        assert "bank/frontend" in words
        assert "weather/frontend" in words


async def test_the_namespace_of_the_metadata_counts_as_asked_for() -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND)) as client:
        await client.asks(metadata={"NAMESPACE": "bank", "SERVICE_ACCOUNT": "frontend"})
        assert (await client.refusal())[0] == "PERMISSION_DENIED"


async def test_a_proxy_that_does_not_name_its_account_is_refused() -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND)) as client:
        await client.asks(metadata={"NAMESPACE": "weather"})
        code, words = await client.refusal()
        assert (code, "without a SERVICE_ACCOUNT" in words) == ("PERMISSION_DENIED", True)


async def test_a_proxy_at_the_address_of_anothers_pod_is_refused() -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND)) as client:
        s.workloads["10.0.0.9"] = Workload("vault-0", "bank", ("10.0.0.9",), service_account="vault")
        await client.asks(address="10.0.0.9")
        code, words = await client.refusal()
        assert code == "PERMISSION_DENIED"
        assert "vault-0 of service account bank/vault runs there" in words


async def test_without_a_certificate_there_is_no_connection() -> None:
    async with secure(world(*BASE)) as s, s.stream(None) as client:
        assert (await client.refusal())[0] == "UNAVAILABLE"
        assert len(s.pilot.sessions) == 0


async def test_a_certificate_of_a_self_made_authority_is_refused() -> None:
    async with secure(world(*BASE)) as s, s.stream(Authority("own").of(FRONTEND)) as client:
        assert (await client.refusal())[0] == "UNAVAILABLE"


async def test_a_self_made_authority_of_the_same_name_is_refused() -> None:
    async with secure(world(*BASE)) as s, s.stream(Authority("root").of(FRONTEND)) as client:
        assert (await client.refusal())[0] == "UNAVAILABLE"


async def test_an_expired_certificate_is_refused() -> None:
    async with secure(world(*BASE)) as s:
        ended = s.authority.of(FRONTEND, since=datetime.now(UTC) - timedelta(days=9))
        async with s.stream(ended) as client:
            assert (await client.refusal())[0] == "UNAVAILABLE"


async def test_another_trust_domain_is_refused_though_the_root_is_ours() -> None:
    stranger = Identity("other.example", "weather", "frontend")
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(stranger)) as client:
        await client.asks()
        code, words = await client.refusal()
        assert code == "UNAUTHENTICATED"
        assert "it is of trust domain other.example; this mesh has cluster.local" in words


@pytest.mark.parametrize("uris", [(), ("https://example.com",), (FRONTEND.uri, ELSEWHERE.uri)])
async def test_a_certificate_that_names_nobody_or_two_is_refused(uris: tuple[str, ...]) -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.certify(*uris)) as client:
        await client.asks()
        code, words = await client.refusal()
        assert (code, "names nobody of the mesh" in words) == ("UNAUTHENTICATED", True)


@FORMS
async def test_a_revoked_certificate_is_refused_and_its_open_stream_ends_at_once(sotw: bool) -> None:
    async with secure(world(*BASE)) as s:
        pair, other = s.authority.of(FRONTEND), s.authority.of(FRONTEND)
        async with s.stream(pair, sotw=sotw) as client, s.stream(other, sotw=sotw) as neighbour:
            await client.asks()
            await neighbour.asks()
            await client.hears()
            await neighbour.hears()
            revoke(s, pair)
            code, words = await client.refusal()  # though it says nothing any more
            assert (code, "was revoked" in words) == ("UNAUTHENTICATED", True)
            s.pilot.change(cluster("b"), endpoints("b", 2))
            assert [session.proxy.name for session in s.pilot.sessions] == ["frontend"]
        async with s.stream(pair, sotw=sotw) as again:
            await again.asks()
            assert "was revoked" in (await again.refusal())[1]
        assert s.metric("pilot_xds_refused_streams_total", reason="UNAUTHENTICATED") == 2


async def test_a_stream_ends_when_its_certificate_expires() -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND)) as client:
        await client.asks()
        await client.hears()
        s.clock.ahead = timedelta(days=2)
        s.server.sweep()
        code, words = await client.refusal()
        assert (code, "expired at" in words) == ("UNAUTHENTICATED", True)


async def test_the_next_message_of_an_expired_caller_is_not_heard() -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND)) as client:
        await client.asks()
        response = await client.hears()
        s.clock.ahead = timedelta(days=2)
        await client.asks(nonce=response.nonce)
        assert (await client.refusal())[0] == "UNAUTHENTICATED"


async def test_a_root_that_is_withdrawn_ends_the_streams_of_its_certificates() -> None:
    async with secure(world(*BASE)) as s:
        new = Authority("new")
        async with s.stream(s.authority.of(FRONTEND)) as client:
            await client.asks()
            await client.hears()
            s.trust.replace(new.bundle(s.authority))
            async with s.stream(new.of(FRONTEND)) as later:
                await later.asks()
                await later.hears()
                assert len(s.pilot.sessions) == 2
                s.trust.replace(new.bundle())
                assert "is not trusted" in (await client.refusal())[1]
                assert len(s.pilot.sessions) == 1


async def test_pilots_own_certificate_changes_under_open_streams() -> None:
    async with secure(world(*BASE)) as s, s.stream(s.authority.of(FRONTEND)) as client:
        await client.asks()
        await client.hears()
        before = await shown_by(s)
        await s.holder.renew("a test")
        after = await shown_by(s)
        assert before != after == s.holder.pair.leaf.serial_number
        [session] = s.pilot.sessions
        s.pilot.change(cluster("b"), endpoints("b", 2))
        await s.pilot.until(lambda: session.version == 2)
        assert not session.closed
        assert not client.call.done()


async def test_hundreds_of_streams_of_one_identity_are_served_and_ended_together() -> None:
    async with secure(world(*BASE)) as s:
        pair = s.authority.of(FRONTEND)
        async with asyncio.timeout(30):
            await asyncio.gather(*(one_of_many(s, pair) for _ in range(100)), all_open(s, pair, 100))


async def one_of_many(s: Secure, pair: KeyPair) -> None:
    async with s.stream(pair) as client:
        await client.asks()
        await client.hears()
        assert (await client.refusal())[0] == "UNAUTHENTICATED"


async def all_open(s: Secure, pair: KeyPair, count: int) -> None:
    await s.pilot.until(lambda: len(s.pilot.sessions) == count)
    revoke(s, pair)


def revoke(s: Secure, pair: KeyPair) -> None:
    s.authority.revoked.append(load_chain(pair.chain)[0])
    s.trust.replace(s.authority.bundle())


async def shown_by(s: Secure) -> int:
    """The serial number of the certificate that Pilot shows to a new connection."""
    return await asyncio.to_thread(leaf_at, s.port, client_context(s.trust.roots(), s.authority.of(FRONTEND)))


def leaf_at(port: int, context: ssl.SSLContext) -> int:
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), 10) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    return load_chain(ssl.DER_cert_to_PEM_cert(der or b"").encode())[0].serial_number
