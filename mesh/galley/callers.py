"""Who may have configuration: the mesh's own components, known by the certificates that they show."""

from collections.abc import Iterable, Sequence
from typing import Any

from cryptography import x509

from mesh.pki.certificates import identity_of
from mesh.pki.peers import PeerCheck
from mesh.pki.serving import peer_chain
from mesh.pki.spiffe import Identity

READERS = ("istio-pilot", "istio-mixer", "istio-policy", "istio-telemetry")
"""Accounts that get configuration."""

REPORTERS = ("istio-pilot",)
"""Accounts that may say how far the proxies are."""


class Refused(Exception):
    """The caller gets nothing; the text is for it and for the log."""


class Callers:
    """Knows callers of a namespace and trust domain by their certificates."""

    def __init__(self, check: PeerCheck, trust_domain: str, namespace: str) -> None:
        self._check = check
        self._trust_domain = trust_domain
        self._namespace = namespace

    def identity(self, context: Any, accounts: Iterable[str]) -> tuple[Identity, list[x509.Certificate]]:
        """Who calls, and the certificates shown; raises `Refused` unless it is one of those accounts."""
        chain = peer_chain(context)
        problem = self.problem(chain)
        if problem:
            raise Refused(problem)
        try:
            identity = identity_of(chain[0])
        except ValueError as error:
            raise Refused(str(error)) from None
        entitled = {Identity(self._trust_domain, self._namespace, account) for account in accounts}
        if identity not in entitled:
            names = ", ".join(sorted(map(str, entitled)))
            raise Refused(f"{identity} has no right to this; those who have: {names}")
        return identity, chain

    def problem(self, chain: Sequence[x509.Certificate]) -> str | None:
        """Why a caller with that chain is no longer served, or None."""
        return self._check.problem(chain) if chain else "no certificate was shown"
