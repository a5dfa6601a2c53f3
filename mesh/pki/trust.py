"""What the mesh trusts at this moment, for those in a process who have to follow it."""

from collections.abc import Callable, Sequence

from cryptography import x509

from mesh.model.trust import TrustBundle
from mesh.pki.bundle import Bundle
from mesh.pki.certificates import chain_problem, issued, load_chain
from mesh.pki.keypair import KeyPair


class Trust:
    """The present bundle: replaced as a whole, told to those who subscribed, readable from any thread."""

    def __init__(self, bundle: TrustBundle | None = None) -> None:
        self._current = bundle or TrustBundle("")
        self._bundle = _parsed(self._current)
        self._subscribers: list[Callable[[TrustBundle], None]] = []

    @property
    def current(self) -> TrustBundle:
        """The bundle as text; its roots are empty as long as it is not known."""
        return self._current

    @property
    def bundle(self) -> Bundle:
        """The same, ready for checks."""
        return self._bundle

    def roots(self) -> bytes:
        """The PEM roots, for servers and clients that ask at each handshake."""
        return self._bundle.roots

    def replace(self, bundle: TrustBundle) -> None:
        """Trust this from now on; `ValueError` if it cannot be read, and what was there stays."""
        if bundle == self._current:
            return
        parsed = _parsed(bundle)
        self._bundle, self._current = parsed, bundle
        for changed in tuple(self._subscribers):
            changed(bundle)

    def subscribe(self, changed: Callable[[TrustBundle], None]) -> None:
        """Call `changed` with each new bundle, in the thread that replaces it."""
        self._subscribers.append(changed)

    def unsubscribe(self, changed: Callable[[TrustBundle], None]) -> None:
        """Call it no more."""
        self._subscribers.remove(changed)


def _parsed(bundle: TrustBundle) -> Bundle:
    parsed = Bundle(bundle.root_cert.encode(), bundle.crl.encode())
    if bundle.root_cert:
        _ = parsed.certificates, parsed.revocations
    return parsed


def renewal_reason(pair: KeyPair, bundle: Bundle) -> str | None:
    """Why a certificate must be replaced under that bundle although it has not expired, or None.

    It was revoked, or the root that issues now (the first) is not the one that it leads to.
    """
    chain = load_chain(pair.chain)
    for certificate in chain:
        revoked = bundle.revocations.reason(certificate)
        if revoked:
            return f"the certificate with {revoked}"
    return None if _leads_to(chain, bundle.certificates[0]) else "another root issues now"


def _leads_to(chain: Sequence[x509.Certificate], root: x509.Certificate) -> bool:
    # A chain's moment does not matter here: an expired certificate is renewed for that reason.
    if chain[-1] == root or issued(chain[-1], root):
        return True
    return chain_problem(chain, [root], chain[0].not_valid_before_utc) is None
