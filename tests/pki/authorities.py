"""Small authorities for tests; Citadel's own code makes them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mesh.citadel.authority import Authority, Subject
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import Key, key_pem, new_key
from mesh.pki.spiffe import Identity

ME = Identity("cluster.local", "weather", "forecast")
NOW = datetime.now(UTC).replace(microsecond=0)
SKEW = timedelta(minutes=2)


def authority(*, key: Key | None = None, name: x509.Name | None = None) -> Authority:
    """A new self-signed authority of ten years; with `key` and `name`, one that pretends."""
    made = Authority.self_signed(
        "cluster.local", now=NOW, lifetime=timedelta(days=3650), skew=SKEW, algorithm="ecdsa-p256"
    )
    if key is None or name is None:
        return made
    builder: Any = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW - SKEW).not_valid_after(NOW + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return replace(made, certificate=builder.sign(key, hashes.SHA256()), key=key)


def leaf(by: Authority, *, days: float = 1 / 24, key: Key | None = None) -> x509.Certificate:
    """A certificate of the forecast."""
    made = key or new_key()
    return by.sign(Subject(ME), made.public_key(), now=NOW, lifetime=timedelta(days=days), skew=SKEW)


def pair_of(by: Authority, *, days: float = 1, names: tuple[str, ...] = ()) -> KeyPair:
    """The same with its key, perhaps for a server of these names."""
    key = new_key()
    made = by.sign(Subject(ME, names), key.public_key(), now=NOW, lifetime=timedelta(days=days), skew=SKEW)
    return KeyPair(key_pem(key), by.chain(made))


def revocation_list(by: Authority, *serials: int) -> bytes:
    """An authority's list of these, as PEM."""
    made = by.revocation_list(serials, dict.fromkeys(serials, "keyCompromise"), now=NOW, skew=SKEW)
    return made.public_bytes(serialization.Encoding.PEM)
