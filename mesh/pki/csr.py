"""Certificate signing requests, as those who ask for a certificate write them."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mesh.pki.keys import Key
from mesh.pki.spiffe import Identity


def request(identity: Identity, key: Key) -> bytes:
    """A PEM request for a certificate of `identity` for `key`, signed by it."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)])
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
