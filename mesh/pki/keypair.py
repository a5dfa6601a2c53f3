"""A private key with the certificate chain that belongs to it."""

from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509

from mesh.pki.certificates import identity_of, load_chain
from mesh.pki.keys import load_key
from mesh.pki.spiffe import Identity


@dataclass(frozen=True)
class KeyPair:
    """PEM texts: the key (PKCS #8) and the chain, leaf first. The key is left out of `repr`."""

    key: bytes = field(repr=False)
    chain: bytes

    @cached_property
    def leaf(self) -> x509.Certificate:
        """The certificate itself; `ValueError` if the chain cannot be read."""
        return load_chain(self.chain)[0]

    @property
    def identity(self) -> Identity:
        """Whose it is; `ValueError` if the certificate carries no identity."""
        return identity_of(self.leaf)

    def problem(self) -> str | None:
        """Why key and certificate do not belong together, or None."""
        try:
            key = load_key(self.key)
            leaf = self.leaf
        except ValueError as error:
            return str(error)
        return None if key.public_key() == leaf.public_key() else "the key does not fit the certificate"
