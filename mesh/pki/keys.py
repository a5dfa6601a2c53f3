"""Private keys: made, written, read."""

from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

Algorithm = Literal["ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"]
ALGORITHMS: tuple[Algorithm, ...] = ("ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096")
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key(algorithm: Algorithm = "ecdsa-p256") -> Key:
    """A new private key; `ValueError` lists the algorithms if it is none of them."""
    if algorithm == "ecdsa-p256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm!r} is no key algorithm; use one of {', '.join(ALGORITHMS)}")
    return rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm.removeprefix("rsa-")))


def key_pem(key: Key) -> bytes:
    """The key as PEM (PKCS #8, not encrypted)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes) -> Key:
    """Read a PEM key, PKCS #8 or the older forms; `ValueError` if it is not an ECDSA or RSA key."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"not a private key that can be read: {_first_line(error)}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        kind = type(key).__name__
        raise ValueError(f"the private key is {kind}; ECDSA and RSA are supported")  # noqa: TRY004
    return key


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
