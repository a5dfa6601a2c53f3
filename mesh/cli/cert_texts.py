"""How the `cert` verbs write times and certificates."""

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mesh.pki.certificates import serial_of, uris_of

UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def span(seconds: float) -> str:
    """A length of time for people, in its two largest units: `3d4h`, `59m10s`, `0s`; with `-` if negative."""
    parts: list[str] = []
    rest = abs(int(seconds))
    for size, unit in UNITS:
        if rest >= size or parts:
            parts.append(f"{rest // size}{unit}" if rest // size else "")
            rest %= size
        if len(parts) == 2:
            break
    return ("-" if seconds <= -1 else "") + ("".join(parts) or "0s")


def left(ends: datetime, now: datetime) -> str:
    """How long something lasts: `23h59m`, or `ended 5m0s ago`."""
    seconds = (ends - now).total_seconds()
    return span(seconds) if seconds > 0 else f"ended {span(-seconds)} ago"


def moment(when: datetime) -> str:
    """A moment, in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def facts(certificate: x509.Certificate) -> dict[str, Any]:
    """What people ask of a certificate."""
    return {
        "subject": certificate.subject.rfc4514_string() or "(none)",
        "uris": uris_of(certificate),
        "dnsNames": _dns_names(certificate),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": serial_of(certificate),
        "key": _key(certificate),
        "notBefore": moment(certificate.not_valid_before_utc),
        "notAfter": moment(certificate.not_valid_after_utc),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return f"ECDSA {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
