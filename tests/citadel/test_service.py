"""S3, S4: certificates for those who prove who they are, over both ports; everybody else is refused."""

from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from mesh.citadel.settings import COMPACT
from mesh.pki import csr as csrs
from mesh.pki import wire
from mesh.pki.certificates import chain_problem, identity_of, load_chain
from mesh.pki.client import CitadelAway
from mesh.pki.keys import new_key
from tests import loops
from tests.citadel.rig import by_certificate, certificate, channel, mesh
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S3", "S4")


def test_a_token_gives_a_certificate_and_the_certificate_the_next_one(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            identity = await it.account(it.namespace, "forecast")
            first = await certificate(it, identity)
            assert identity_of(first.leaf) == identity
            roots = it.citadel.trust.bundle.certificates
            assert chain_problem(load_chain(first.chain), roots, it.clock()) is None
            client = await it.client(identity, token="not used")
            chain = await client.sign(csrs.request(identity, new_key()), seconds=60, present=first)
            (second,) = load_chain(chain)
            assert identity_of(second) == identity
            assert second.serial_number != first.leaf.serial_number

    loops.run(test())


def test_the_answer_is_what_other_agents_expect(served: Served) -> None:
    """Leaf first, the root last, each an entry of its own; a request without names means the caller."""

    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pair = await certificate(it, me)
            async with channel(it, pair) as call:
                raw = await call(wire.certificate_request(csrs.request(me, new_key()), 0), timeout=20)
            leaf, root = wire.IstioCertificateResponse.FromString(raw).cert_chain
            (certificate_,) = load_chain(leaf.encode())
            assert load_chain(root.encode()) == list(it.citadel.trust.bundle.certificates)
            life = certificate_.not_valid_after_utc - it.clock()
            assert 23.9 < life.total_seconds() / 3600 <= 24

    loops.run(test())


def test_the_control_plane_serves_under_its_services_names(served: Served) -> None:
    async def test() -> None:
        async with mesh(served, services=COMPACT, account="istio-pilot") as it:
            names = it.citadel.settings.dns_names(it.namespace, "istio-pilot")
            found = it.citadel.identity.pair.leaf.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            )
            assert tuple(found.value.get_values_for_type(x509.DNSName)) == names
            assert f"istio-galley.{it.namespace}.svc.cluster.local" in names
            me = await it.account("default", "istio-pilot")
            pair = await certificate(it, me)  # the same account elsewhere is nobody special
            found = pair.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            assert found.value.get_values_for_type(x509.DNSName) == []
            await by_certificate(it, pair, me)

    loops.run(test())


def test_health_is_told_over_grpc(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            credentials = grpc.ssl_channel_credentials(it.citadel.trust.roots())
            options = (("grpc.ssl_target_name_override", f"istio-citadel.{it.namespace}.svc"),)
            address = f"127.0.0.1:{it.citadel.token_port}"
            async with grpc.aio.secure_channel(address, credentials, options=options) as open_channel:
                stub = health_pb2_grpc.HealthStub(open_channel)
                for name in ("", wire.SERVICE):
                    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
                    assert answer.status == health_pb2.HealthCheckResponse.SERVING

    loops.run(test())


def test_nothing_is_issued_that_cannot_be_kept(served: Served) -> None:
    """While the platform does not take the ledger's line, the certificate stays here; then it goes on."""

    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            pair = await certificate(it, me)
            kind = "validatingwebhookconfigurations.admissionregistration.k8s.io"
            await it.create(kind, refusing_ledgers())
            with pytest.raises(CitadelAway, match="ledger cannot be written"):
                await by_certificate(it, pair, me)
            await it.delete(kind, "no-ledgers")
            await by_certificate(it, pair, me)

    loops.run(test())


def refusing_ledgers() -> dict[str, Any]:
    """A webhook that nobody answers, asked about ledgers."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    }
    webhook = {
        "name": "no.ledgers.example",
        "rules": [rule],
        "objectSelector": {"matchLabels": {"trust.istio.io/ledger": "true"}},
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {"metadata": {"name": "no-ledgers"}, "webhooks": [webhook]}
