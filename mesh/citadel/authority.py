"""A certificate authority: a key, its certificate, the way up to its root. Signs certificates and CRLs.

Pure: the time is an argument, nothing is read or written.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.pki.certificates import chain_pem
from mesh.pki.keys import Algorithm, Key, new_key
from mesh.pki.spiffe import Identity

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """Whom a certificate is for: an identity, and the DNS names that it may serve."""

    identity: Identity
    dns_names: Sequence[str] = ()


@dataclass(frozen=True)
class Authority:
    """`above` leads from the certificate to a root, without it; a self-signed authority is its own root.

    `roots` is what others trust: the root it leads to first.
    """

    certificate: x509.Certificate
    key: Key = field(repr=False)
    above: tuple[x509.Certificate, ...]
    roots: tuple[x509.Certificate, ...]

    @classmethod
    def self_signed(
        cls, trust_domain: str, *, now: datetime, lifetime: timedelta, skew: timedelta, algorithm: Algorithm
    ) -> "Authority":
        """A new root. Its name is its own, so that verifiers never take one root for another."""
        key = new_key(algorithm)
        serial = x509.random_serial_number()
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain[:64]),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Citadel root {serial & 0xFFFFFFFF:08x}"),
            ]
        )
        builder = _builder(name, name, key.public_key(), serial, now - skew, now + lifetime)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage("key_cert_sign", "crl_sign", "digital_signature"), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key, (), (certificate,))

    @property
    def is_root(self) -> bool:
        """Whether it is its own root."""
        return self.certificate in self.roots

    @property
    def id(self) -> str:
        """What tells authorities apart (see `fingerprint`)."""
        return fingerprint(self.certificate)

    @property
    def ends(self) -> datetime:
        """When it can issue no longer: the first end among its certificate and those above it."""
        every = (self.certificate, *self.above, self.roots[0])
        return min(each.not_valid_after_utc for each in every)

    @property
    def signs_lists(self) -> bool:
        """Whether others will accept its revocation lists (key usage `cRLSign`, or no restriction)."""
        try:
            return self.certificate.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
        except x509.ExtensionNotFound:
            return True

    def sign(
        self, subject: Subject, key: PublicKey, *, now: datetime, lifetime: timedelta, skew: timedelta
    ) -> x509.Certificate:
        """A certificate of a workload, valid from `now - skew`, never longer than the authority itself."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(subject.identity.uri)]
        names += [x509.DNSName(name) for name in subject.dns_names]
        begins = max(now - skew, self.certificate.not_valid_before_utc)
        builder = _builder(
            self.certificate.subject, x509.Name([]), key,
            x509.random_serial_number(), begins, min(now + lifetime, self.ends),
        )  # fmt: skip
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage("digital_signature", "key_encipherment"), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(self._key_identifier(), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def chain(self, certificate: x509.Certificate) -> bytes:
        """What goes with a certificate on the wire, as PEM: itself and the authorities below the root."""
        between = () if self.is_root else (self.certificate, *self.above)
        return chain_pem([certificate, *(each for each in between if each not in self.roots)])

    def revocation_list(
        self, serials: Iterable[int], reasons: dict[int, str], *, now: datetime, skew: timedelta
    ) -> x509.CertificateRevocationList:
        """A CRL of those serial numbers.

        It lasts as long as the authority: it is replaced when something is revoked, and an expired one
        would make verifiers refuse everybody.
        """
        begins = max(now - skew, self.certificate.not_valid_before_utc)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begins)
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(self._key_identifier(), critical=False)
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        )
        for serial in sorted(serials):
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begins)
            flag = x509.ReasonFlags(reasons.get(serial, "unspecified"))
            if flag is not x509.ReasonFlags.unspecified:
                entry = entry.add_extension(x509.CRLReason(flag), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256())

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        try:
            own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def fingerprint(certificate: x509.Certificate) -> str:
    """The start of a certificate's SHA-256, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()[:16]


def usage(*allowed: str) -> x509.KeyUsage:
    """A key usage with only these bits."""
    return x509.KeyUsage(**{name: name in allowed for name in USAGES})


def _builder(
    issuer: x509.Name, subject: x509.Name, key: PublicKey, serial: int, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def same_list(
    present: x509.CertificateRevocationList, authority: Authority, serials: Collection[int]
) -> bool:
    """Whether a list is this authority's and names exactly these: then it need not be made again."""
    if present.issuer != authority.certificate.subject:
        return False
    if not present.is_signature_valid(authority.certificate.public_key()):  # type: ignore[arg-type]
        return False
    return {entry.serial_number for entry in present} == set(serials)
