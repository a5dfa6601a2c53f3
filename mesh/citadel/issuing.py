"""Issues certificates: to callers who asked rightly, and to the control plane itself."""

from collections.abc import Callable
from datetime import timedelta

from mesh.citadel import requests
from mesh.citadel.authority import Authority, Subject
from mesh.citadel.errors import Refused
from mesh.citadel.ledger import Ledger, LedgerAway, Line
from mesh.citadel.limits import Limiter
from mesh.citadel.revocations import Revocations
from mesh.citadel.settings import CitadelSettings
from mesh.pki.certificates import chain_pem, serial_of
from mesh.pki.clock import Clock
from mesh.pki.keypair import KeyPair
from mesh.pki.signer import CitadelAway, SigningRefused
from mesh.pki.spiffe import Identity

SHORTEST = timedelta(seconds=1)


class Issuer:
    """Signs for identities that are proved already. `authority` gives the one that issues now."""

    def __init__(
        self,
        settings: CitadelSettings,
        authority: Callable[[], Authority],
        ledger: Ledger,
        revocations: Revocations,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._ledger = ledger
        self._revocations = revocations
        self._clock = clock
        self._limiter = Limiter(settings.limit, clock)

    def root(self) -> bytes:
        """The root that certificates issued now lead to, as PEM."""
        return chain_pem(self._authority().roots[:1])

    async def answer(self, identity: Identity, csr: bytes, seconds: int) -> bytes:
        """The PEM chain for a caller's CSR; raises `Refused`."""
        if not self._limiter.allows(identity):
            raise Refused(
                "rate_limited", "RESOURCE_EXHAUSTED",
                f"{identity} asks too often; at most {self._settings.limit.per_second:g} times a second",
            )  # fmt: skip
        return await self.issue(identity, csr, seconds)

    async def issue(self, identity: Identity, csr: bytes, seconds: int) -> bytes:
        """The PEM chain for a CSR; raises `Refused`. It is in the ledger before it is given away."""
        subject = Subject(identity, self._settings.dns_names(identity.namespace, identity.account))
        request = requests.parse(csr)
        requests.check(request, subject)
        if identity.uri in self._revocations.denied:
            raise Refused(
                "denied", "PERMISSION_DENIED", f"{identity} was revoked; certificates are denied to it"
            )
        authority, now = self._authority(), self._clock()
        if authority.ends - now < SHORTEST:
            raise Refused(
                "ca_not_ready", "UNAVAILABLE", f"Citadel's own certificate expired at {authority.ends}"
            )
        certificate = authority.sign(
            subject, request.key, now=now, lifetime=self._granted(seconds), skew=self._settings.skew
        )
        kept = self._ledger.add(
            Line(serial_of(certificate), identity.uri, authority.id, now, certificate.not_valid_after_utc)
        )
        try:
            await kept
        except LedgerAway as error:
            raise Refused("ca_not_ready", "UNAVAILABLE", f"the ledger cannot be written: {error}") from None
        return authority.chain(certificate)

    def _granted(self, seconds: int) -> timedelta:
        """The life to give: the usual one if none is asked for, and never too long."""
        if seconds < 1:
            return self._settings.workload_lifetime
        longest = self._settings.longest_lifetime
        return timedelta(seconds=seconds) if seconds < longest.total_seconds() else longest


class InProcess:
    """The `Signer` of Citadel's own process: whoever holds it may have any identity."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    async def sign(self, csr: bytes, *, seconds: int, present: KeyPair | None = None) -> bytes:
        """The PEM chain for a PEM request, for the identity that it names."""
        try:
            (uri,) = requests.parse(csr).uris
            return await self._issuer.issue(Identity.parse(uri), csr, seconds)
        except Refused as error:
            kind = CitadelAway if error.status == "UNAVAILABLE" else SigningRefused
            raise kind(str(error)) from None
        except ValueError as error:
            raise SigningRefused(f"the CSR names no identity: {error}") from None
