"""S4: who does not prove who it is, or asks for what is not its own, is refused, counted, and told why."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mesh.citadel.authority import Authority, Subject
from mesh.citadel.settings import Limit
from mesh.pki import csr as csrs
from mesh.pki import wire
from mesh.pki.certificates import chain_pem
from mesh.pki.client import CitadelAway, CitadelClient, SigningRefused
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import key_pem, new_key
from mesh.pki.spiffe import Identity
from tests import loops
from tests.citadel.rig import DOMAIN, Mesh, by_certificate, certificate, channel, mesh
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S3", "S4")

Case = Callable[[Mesh, Identity], Awaitable[tuple[CitadelClient, bytes, KeyPair | None]]]


def refused(it: Mesh, reason: str) -> float:
    """How often that reason was counted."""
    value = it.citadel.metrics.registry.get_sample_value(
        "citadel_server_refused_count_total", {"reason": reason}
    )
    assert value is not None
    return value


def pem(csr: x509.CertificateSigningRequest) -> bytes:
    return csr.public_bytes(serialization.Encoding.PEM)


def builder(*names: x509.GeneralName) -> x509.CertificateSigningRequestBuilder:
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return made.add_extension(x509.SubjectAlternativeName(names), critical=True) if names else made


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def tampered(identity: Identity) -> bytes:
    """A request in which one bit of the signature is wrong."""
    der = bytearray(
        x509.load_pem_x509_csr(csrs.request(identity, new_key())).public_bytes(serialization.Encoding.DER)
    )
    der[-3] ^= 1
    return pem(x509.load_der_x509_csr(bytes(der)))


def bad_requests(me: Identity) -> list[tuple[str, str, bytes]]:
    """Reason, words and request of everything that a known caller may not ask for."""
    other = Identity(DOMAIN, me.namespace, "somebody-else")
    key = new_key()
    weak, odd = rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP521R1())
    koblitz, edwards = ec.generate_private_key(ec.SECP256K1()), ed25519.Ed25519PrivateKey.generate()
    authority = builder(uri(me.uri)).add_extension(x509.BasicConstraints(True, None), critical=True)
    two, dns = (
        builder(uri(me.uri), uri("spiffe://evil/ns/a/sa/b")),
        builder(x509.DNSName("istio-pilot.x.svc")),
    )
    return [
        ("foreign_identity", other.uri, csrs.request(other, key)),
        ("foreign_identity", "evil", pem(two.sign(key, hashes.SHA256()))),
        ("foreign_identity", "istio-pilot", pem(dns.sign(key, hashes.SHA256()))),
        ("foreign_identity", "RFC822Name", pem(builder(x509.RFC822Name("a@b.c")).sign(key, hashes.SHA256()))),
        ("foreign_identity", "authority", pem(authority.sign(key, hashes.SHA256()))),
        ("bad_signature", "signature", tampered(me)),
        ("weak_key", "1024 bits", csrs.request(me, weak)),
        ("weak_key", "secp521r1", csrs.request(me, odd)),
        ("weak_key", "secp256k1", csrs.request(me, koblitz)),
        ("weak_key", "Ed25519", pem(builder(uri(me.uri)).sign(edwards, None))),
        ("malformed", "cannot be read", b"not a request"),
        ("malformed", "at most 16384", b"-----BEGIN CERTIFICATE REQUEST-----" + b"A" * 20_000),
    ]  # fmt: skip


def test_requests_that_ask_for_what_is_not_the_callers(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            client = await it.client(me)
            for reason, words, request in bad_requests(me):
                before = refused(it, reason)
                with pytest.raises(SigningRefused, match=words):
                    await client.sign(request, seconds=60)
                assert refused(it, reason) == before + 1, reason
            await client.sign(csrs.request(me, new_key()), seconds=60)  # and nothing was harmed

    loops.run(test())


def test_tokens_that_prove_nothing(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            request = csrs.request(me, new_key())
            wrong = await it.token(me, "another-audience")
            for token, words in (
                ("", "carries no token"),
                ("rubbish", "not accepted"),
                ("a.b.c", "not accepted"),
                (wrong, "not accepted"),
                ("x" * 20_000, "at most 16384"),
            ):
                client = await it.client(me, token=token)
                with pytest.raises(SigningRefused, match=words):
                    await client.sign(request, seconds=60)
            assert refused(it, "wrong_audience") + refused(it, "unauthenticated") == 5

    loops.run(test())


def self_made(identity: Identity, now: datetime) -> KeyPair:
    """A certificate of an authority that nobody trusts."""
    authority = Authority.self_signed(
        DOMAIN, now=now, lifetime=timedelta(days=1), skew=timedelta(minutes=2), algorithm="ecdsa-p256"
    )
    return signed_by(authority, identity, now)


def signed_by(authority: Authority, identity: Identity, now: datetime, hours: float = 1) -> KeyPair:
    key, lifetime = new_key(), timedelta(hours=hours)
    made = authority.sign(
        Subject(identity), key.public_key(), now=now, lifetime=lifetime, skew=timedelta(minutes=2)
    )
    return KeyPair(key_pem(key), chain_pem([made]))


def test_certificates_that_prove_nothing_at_the_mutual_port(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            own, now = it.citadel.core.authority(), datetime.now(UTC)
            other_domain = signed_by(own, Identity("evil.example", me.namespace, me.account), now)
            gone = signed_by(own, Identity(DOMAIN, me.namespace, "never-was"), now)
            expired = signed_by(own, me, now, hours=-1 / 60)
            cases = [
                (self_made(me, now), CitadelAway, "does not answer"),  # TLS itself refuses these two
                (expired, CitadelAway, "does not answer"),
                (other_domain, SigningRefused, "not of this mesh's trust domain"),
                (gone, SigningRefused, "does not exist any more"),
            ]
            for pair, kind, words in cases:
                with pytest.raises(kind, match=words):
                    await by_certificate(it, pair, me)

    loops.run(test())


def test_a_certificate_that_expires_during_a_connection_ends_it(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pair = await certificate(it, me, seconds=600)
            async with channel(it, pair) as call:
                await call(wire.certificate_request(csrs.request(me, new_key()), 60), timeout=20)
                it.clock.pass_(minutes=11)
                with pytest.raises(grpc.aio.AioRpcError, match="expired at"):
                    await call(wire.certificate_request(csrs.request(me, new_key()), 60), timeout=20)

    loops.run(test())


def test_nobody_is_heard_without_tls_or_without_a_certificate(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            message = wire.certificate_request(b"", 60)
            for port in (it.citadel.token_port, it.citadel.mutual_port):
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as plain:
                    with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                        await plain.unary_unary(wire.PATH)(message, timeout=20)
            nobody = CitadelClient(
                f"127.0.0.1:{it.citadel.mutual_port}", "", it.citadel.trust.roots, lambda: "t",
                server_name=f"istio-citadel.{it.namespace}.svc",
            )  # fmt: skip
            with pytest.raises(CitadelAway):
                await nobody.sign(b"", seconds=60)

    loops.run(test())


def test_who_asks_too_often_waits(served: Served) -> None:
    async def test() -> None:
        async with mesh(served, limit=Limit(burst=3, per_second=1.0)) as it:
            me, other = await it.account(it.namespace, "one"), await it.account(it.namespace, "two")
            client = await it.client(me)
            for _ in range(3):
                await client.sign(csrs.request(me, new_key()), seconds=60)
            with pytest.raises(SigningRefused, match="asks too often"):
                await client.sign(csrs.request(me, new_key()), seconds=60)
            await (await it.client(other)).sign(csrs.request(other, new_key()), seconds=60)
            it.clock.pass_(seconds=2)
            await client.sign(csrs.request(me, new_key()), seconds=60)

    loops.run(test())


def test_what_is_no_request_is_no_fault(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pair = await certificate(it, me)
            async with channel(it, pair) as call:
                for raw in (
                    b"\xff\xff\xff",
                    b"",
                    b"\x0a\x02\xff\xfe",
                    b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                ):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call(raw, timeout=20)
                    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert (
                it.citadel.metrics.registry.get_sample_value("citadel_server_internal_error_count_total") == 0
            )

    loops.run(test())


def test_who_guesses_tokens_is_soon_not_heard_any_more(served: Served) -> None:
    """Each guess costs the platform a question, so there is an end to them."""

    async def test() -> None:
        async with mesh(served) as it:
            credentials = grpc.ssl_channel_credentials(it.citadel.trust.roots())
            options = (("grpc.ssl_target_name_override", f"istio-citadel.{it.namespace}.svc"),)
            address = f"127.0.0.1:{it.citadel.token_port}"
            answers: list[str] = []
            async with grpc.aio.secure_channel(address, credentials, options=options) as guessing:
                call = guessing.unary_unary(wire.PATH)
                while len(answers) < 1000 and "too many bad tokens" not in "".join(answers[-1:]):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call(b"", metadata=(("authorization", "Bearer x"),), timeout=20)
                    answers.append(str(caught.value.details()))
            assert 100 <= len(answers) < 1000
            me = await it.account(it.namespace, "forecast")
            it.clock.pass_(seconds=1)
            await certificate(it, me)

    loops.run(test())
