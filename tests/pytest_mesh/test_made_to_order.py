"""Certificates and tokens that tests order are what was ordered."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pytest_mesh.authority import Authority, identity_of, serial_of, signed_by
from pytest_mesh.tokens import Issuer, bearer

pytestmark = pytest.mark.behaviour("H2")
NAME = "spiffe://cluster.local/ns/a/sa/b"


def test_a_certificate_is_for_the_names_and_the_time_asked_for() -> None:
    authority = Authority.new()
    pair = authority.issue(
        NAME, "host.example", "127.0.0.1", start=-timedelta(days=3), life=timedelta(days=1)
    )
    now = datetime.now(UTC)
    assert identity_of(pair.certificate) == NAME
    assert signed_by(pair.certificate, authority.pem)
    assert not signed_by(pair.certificate, Authority.new().pem)
    assert timedelta(days=1, hours=23) < now - pair.x509.not_valid_after_utc < timedelta(days=2, hours=1)
    assert serial_of(pair.certificate) == f"{pair.x509.serial_number:x}"
    assert "PRIVATE KEY" in pair.tls(alpn=["istio"])["key"]


def test_an_intermediates_certificates_bring_their_chain() -> None:
    root = Authority.new("root")
    between = root.intermediate("between")
    pair = between.issue("leaf.example")
    assert pair.certificate.count("BEGIN CERTIFICATE") == 2
    assert pair.certificate.endswith(between.pem)
    assert signed_by(pair.certificate, between.pem)
    assert signed_by(between.pem, root.pem)


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_token_is_verified_by_its_key_set() -> None:
    issuer = Issuer("somebody")
    head, body, signature = issuer.token(sub="ann", aud=["a"], iat=None).split(".")
    claims = json.loads(decoded(body))
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("somebody", "ann", ["a"])
    assert "iat" not in claims
    (key,) = json.loads(issuer.jwks)["keys"]
    assert json.loads(decoded(head))["kid"] == key["kid"]
    n, e = (int.from_bytes(decoded(key[name])) for name in "ne")
    public = rsa.RSAPublicNumbers(e, n).public_key()
    public.verify(decoded(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    assert bearer("x") == {"authorization": "Bearer x"}
