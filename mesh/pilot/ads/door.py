"""Who may speak to Pilot, and as whom: the proxy's certificate says it, its words must agree.

gRPC has checked at the handshake that the certificate leads to a trusted root. Everything else is checked
here: the trust domain, revocation and expiry (also of streams that are open already), and that a proxy asks
for nobody else's configuration.
"""

from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509

from mesh.model import Proxy, Workload
from mesh.pki.bundle import Bundle
from mesh.pki.certificates import identity_of, naming
from mesh.pki.clock import Clock, utc_now
from mesh.pki.peers import PeerCheck
from mesh.pki.serving import peer_chain
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust


class Unknown(Exception):
    """The caller is not authenticated: no certificate, a foreign one, one that is good no longer."""


class Forbidden(Exception):
    """The caller is known, and asks for what is another's."""


class Door:
    """Lets proxies in. `workloads` gives what runs at each address, as far as the platform says it.

    `domains` gives the trust domains whose identities are let in, the mesh's own first.
    """

    def __init__(
        self,
        trust: Trust,
        workloads: Callable[[], Mapping[str, Workload]] = dict,
        *,
        domains: Callable[[], tuple[str, ...]] = lambda: ("cluster.local",),
        clock: Clock = utc_now,
    ) -> None:
        self.trust = trust
        self.clock = clock
        self.workloads = workloads
        self.domains = domains
        self.check = PeerCheck(lambda: trust.bundle, clock=clock)

    def __repr__(self) -> str:
        return f"<Door to {' and '.join(self.domains())}>"

    def enter(self, context: Any) -> "Guest":
        """Who calls; raises `Unknown`."""
        chain = tuple(peer_chain(context))
        if not chain:
            raise Unknown("a certificate of the mesh must be shown, and there was none")
        try:
            identity = identity_of(chain[0])
        except ValueError as error:
            raise Unknown(f"the certificate {naming(chain[0])} names nobody of the mesh: {error}") from None
        guest = Guest(self, identity, chain)
        guest.confirm()
        return guest


class Guest:
    """An authenticated caller, as its certificate says it."""

    def __init__(self, door: Door, identity: Identity, chain: tuple[x509.Certificate, ...]) -> None:
        self.identity = identity
        self.ends = min(each.not_valid_after_utc for each in chain)
        self._door = door
        self._chain = chain
        self._good_under: Bundle | None = None

    def __repr__(self) -> str:
        return f"<Guest {naming(self._chain[0])}>"

    def confirm(self) -> None:
        """Check that the caller is still to be let in; raises `Unknown` with the reason.

        Cheap as long as trust has not changed; if only more was revoked, signatures are not checked again.
        """
        bundle, alive = self._door.trust.bundle, self._door.clock() <= self.ends
        if alive and self._good_under is bundle:
            return
        verified = alive and self._good_under is not None and self._good_under.roots == bundle.roots
        problem = self._revoked(bundle) if verified else self._problem()
        if problem:
            raise Unknown(f"{self.identity} is refused: {problem}")
        self._good_under = bundle

    def _revoked(self, bundle: Bundle) -> str | None:
        reasons = (bundle.revocations.reason(each) for each in self._chain)
        return next((f"the certificate with {reason}" for reason in reasons if reason), None)

    def _problem(self) -> str | None:
        if not self._door.trust.current.root_cert:
            return "no root is known yet"
        domains = self._door.domains()
        if self.identity.trust_domain not in domains:
            return (
                f"it is of trust domain {self.identity.trust_domain}; this mesh has {' and '.join(domains)}"
            )
        return self._door.check.problem(self._chain)

    def admit(self, proxy: Proxy) -> None:
        """Check that the proxy is who it says; raises `Forbidden`, which names both sides."""
        shown = self.identity.namespace, self.identity.account
        said = proxy.namespace, proxy.service_account
        if shown != said:
            raise Forbidden(
                f"node {proxy.node_id} says that it is {_account(*said)}, but its certificate is of"
                f" {_account(*shown)}; a proxy gets the configuration of its own account only"
            )
        here = self._door.workloads().get(proxy.address)
        if here is not None and (here.namespace, here.service_account) != shown:
            raise Forbidden(
                f"node {proxy.node_id} says that its address is {proxy.address}, but {here.name} of"
                f" {_account(here.namespace, here.service_account)} runs there, and its certificate is of"
                f" {_account(*shown)}"
            )


def _account(namespace: str, account: str) -> str:
    named = f"service account {namespace}/{account}"
    return named if account else f"of namespace {namespace}, without a SERVICE_ACCOUNT in its metadata"
