"""A certificate authority for tests: certificates of any kind, good and bad, and revocation lists."""

import itertools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mesh.model.trust import TrustBundle
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import key_pem, new_key
from mesh.pki.spiffe import Identity

_serials = itertools.count(1000)
FRONTEND = Identity("cluster.local", "weather", "frontend")
PILOT = Identity("cluster.local", "istio-system", "istio-pilot")
PILOT_NAME = "istio-pilot.istio-system.svc"


class Authority:
    """A self-signed root that signs whatever is asked for."""

    def __init__(self, name: str = "root") -> None:
        self.key = new_key()
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name)])
        self.revoked: list[x509.Certificate] = []
        self._moment = datetime.now(UTC)
        self.root = self._builder(self.name, self.key, days=3650).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ).sign(self.key, hashes.SHA256())  # fmt: skip

    @property
    def pem(self) -> str:
        return self.root.public_bytes(serialization.Encoding.PEM).decode()

    def _builder(
        self, name: x509.Name, key: object, *, days: float, since: datetime | None = None
    ) -> x509.CertificateBuilder:
        begin = since or self._moment - timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())  # type: ignore[attr-defined]
            .serial_number(next(_serials))
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=1 + days))
        )

    def certify(
        self, *uris: str, names: tuple[str, ...] = (), days: float = 1, since: datetime | None = None
    ) -> KeyPair:
        """A key and certificate with these URI and DNS names."""
        key = new_key()
        every = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, names)]
        builder = self._builder(x509.Name([]), key, days=days, since=since)
        if every:
            builder = builder.add_extension(x509.SubjectAlternativeName(every), critical=True)
        made = builder.sign(self.key, hashes.SHA256())
        return KeyPair(key_pem(key), made.public_bytes(serialization.Encoding.PEM))

    def of(self, identity: Identity, *, days: float = 1, since: datetime | None = None) -> KeyPair:
        """A key and certificate of an identity; Pilot's with the name of its Service."""
        names = (PILOT_NAME, "localhost") if identity == PILOT else ()
        return self.certify(identity.uri, names=names, days=days, since=since)

    async def sign(self, csr: bytes, *, seconds: int, present: KeyPair | None) -> bytes:
        """As a `Signer`: what is asked for, and Pilot's DNS names."""
        request = x509.load_pem_x509_csr(csr)
        uris = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*uris, x509.DNSName(PILOT_NAME), x509.DNSName("localhost")]
        builder = self._builder(x509.Name([]), request, days=seconds / 86400)
        made = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def crl(self) -> str:
        """The list of all that was revoked."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(self._moment).next_update(self._moment + timedelta(days=30))
        for each in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(self._moment).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def bundle(self, *further: "Authority") -> TrustBundle:
        """Trust in this authority and further ones."""
        every = (self, *further)
        return TrustBundle("".join(each.pem for each in every), "".join(each.crl() for each in every))
