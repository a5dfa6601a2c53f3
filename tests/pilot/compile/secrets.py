"""Secrets for a real Envoy: what comes from the agent or from Pilot over SDS is put into its bootstrap."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pytest_mesh.authority import Authority, Pair

MESH = Authority.new("the mesh's root")
CLIENT = "spiffe://cluster.local/ns/weather/sa/frontend"
SERVER = "spiffe://cluster.local/ns/weather/sa/default"


def pair(name: str, certificate: Pair) -> dict[str, Any]:
    """Certificate and key as a secret."""
    chain, key = ({"inline_string": text} for text in (certificate.certificate, certificate.key))
    return {"name": name, "tls_certificate": {"certificate_chain": chain, "private_key": key}}


def trust(name: str, roots: str, crl: str = "") -> dict[str, Any]:
    """Roots, and a revocation list, as a secret."""
    context: dict[str, Any] = {"trusted_ca": {"inline_string": roots}}
    if crl:
        context |= {"crl": {"inline_string": crl}, "only_verify_leaf_cert_crl": True}
    return {"name": name, "validation_context": context}


def of_mesh(identity: str = SERVER, *, crl: str = "") -> list[dict[str, Any]]:
    """What every proxy of the mesh has: its own certificate, and the mesh's root."""
    return [pair("default", MESH.issue(identity)), trust("ROOTCA", MESH.pem, crl)]


def without_sources(value: Any) -> Any:
    """A configuration whose secrets are looked up in the bootstrap."""
    if isinstance(value, dict):
        return {key: without_sources(each) for key, each in value.items() if key != "sds_config"}
    return [without_sources(each) for each in value] if isinstance(value, list) else value


def revocations(authority: Authority, *revoked: Pair) -> str:
    """A revocation list of an authority, as PEM."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - timedelta(hours=1))
        .next_update(now + timedelta(days=1))
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.x509.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(now).build())
    made = builder.sign(authority.key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()
