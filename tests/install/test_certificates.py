"""The webhook's certificate: what it says, and how long it is kept."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from mesh.install.certificates import LIFETIME, MARGIN, ServingCertificate

pytestmark = pytest.mark.behaviour("W1")

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def made(now: datetime = NOW) -> ServingCertificate:
    return ServingCertificate.make("istio-sidecar-injector", "istio-system", now=now)


def test_it_is_signed_by_its_root_for_the_services_names() -> None:
    certificate = made()
    leaf, root = (x509.load_pem_x509_certificate(pem) for pem in (certificate.certificate, certificate.root))
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "istio-sidecar-injector.istio-system.svc",
        "istio-sidecar-injector.istio-system.svc.cluster.local",
    ]


def test_it_is_kept_until_a_month_before_its_end() -> None:
    certificate = made()
    end = NOW + LIFETIME
    assert certificate.good(now=end - MARGIN - timedelta(seconds=1))
    assert not certificate.good(now=end - MARGIN)
    assert not certificate.good(now=end)


def test_what_cannot_be_read_is_not_kept() -> None:
    certificate = made()
    assert not ServingCertificate(b"nonsense", certificate.key, certificate.root).good(now=NOW)
    assert not ServingCertificate(certificate.certificate, b"", certificate.root).good(now=NOW)


def test_a_key_that_is_not_the_certificates_is_not_kept() -> None:
    one, other = made(), made()
    assert not ServingCertificate(one.certificate, other.key, one.root).good(now=NOW)
    assert not ServingCertificate(one.certificate, one.key, other.root).good(now=NOW)


def test_long_names_fit_their_subject() -> None:
    ServingCertificate.make("s" * 63, "n" * 63)
