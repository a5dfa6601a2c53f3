"""The secrets that Envoy may ask for, ready as bytes, each with a version that its content makes."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from google.protobuf.message import DecodeError

from mesh.pki.bundle import Bundle
from mesh.pki.keypair import KeyPair

SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
DEFAULT = "default"
ROOTCA = "ROOTCA"
NAMES = frozenset({DEFAULT, ROOTCA})


@dataclass(frozen=True, slots=True)
class Stored:
    """A secret; the payload may hold a key and is left out of `repr`."""

    name: str
    version: str
    payload: bytes

    def __repr__(self) -> str:
        return f"Stored({self.name!r}, version {self.version})"


class Shelf:
    """What there is now. Whoever subscribed is told the name of each secret that came out different."""

    def __init__(self) -> None:
        self._stored: dict[str, Stored] = {}
        self._subscribers: list[Callable[[str], None]] = []

    def __repr__(self) -> str:
        return f"<Shelf with {', '.join(map(repr, self._stored.values())) or 'nothing yet'}>"

    def get(self, name: str) -> Stored | None:
        """The secret, or None while there is none."""
        return self._stored.get(name)

    def subscribe(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the name of each secret that differs from before."""
        self._subscribers.append(changed)

    def put_pair(self, pair: KeyPair) -> None:
        """Envoy's own certificate."""
        secret = secret_pb2.Secret(name=DEFAULT)
        secret.tls_certificate.private_key.inline_bytes = pair.key
        secret.tls_certificate.certificate_chain.inline_bytes = pair.chain
        self._put(secret)

    def put_trust(self, bundle: Bundle) -> None:
        """What Envoy's connection to Pilot trusts."""
        secret = secret_pb2.Secret(name=ROOTCA)
        secret.validation_context.trusted_ca.inline_bytes = bundle.roots
        if bundle.crl:
            secret.validation_context.crl.inline_bytes = bundle.crl
            # Of whoever issued Pilot's own certificate: a root that lies in a vault publishes no list.
            secret.validation_context.only_verify_leaf_cert_crl = True
        self._put(secret)

    def _put(self, secret: secret_pb2.Secret) -> None:
        payload = secret.SerializeToString(deterministic=True)
        stored = Stored(secret.name, sha256(payload).hexdigest()[:16], payload)
        if self._stored.get(stored.name) == stored:
            return
        self._stored[stored.name] = stored
        for changed in tuple(self._subscribers):
            changed(stored.name)


def read_trust(payload: bytes) -> Bundle:
    """The bundle in a `ROOTCA` secret as Pilot sends it; `ValueError` if it is none."""
    try:
        context = secret_pb2.Secret.FromString(payload).validation_context
    except DecodeError as error:
        raise ValueError(f"ROOTCA is no Secret: {error}") from None
    roots = context.trusted_ca.inline_bytes or context.trusted_ca.inline_string.encode()
    crl = context.crl.inline_bytes or context.crl.inline_string.encode()
    bundle = Bundle(roots, crl)
    if not bundle.certificates or bundle.revocations is None:
        raise ValueError("ROOTCA holds no root certificate")
    return bundle
