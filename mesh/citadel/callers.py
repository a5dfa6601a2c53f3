"""Who calls: proved by a Kubernetes token, or by the certificate that the connection was made with."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509

from mesh.citadel.errors import Refused
from mesh.citadel.kube import Kube, KubeError
from mesh.pki.certificates import identity_of
from mesh.pki.peers import PeerCheck
from mesh.pki.spiffe import Identity

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
AT_ONCE = 32  # token reviews under way; more of them wait
LONGEST = 16_384  # characters of a token
ACCOUNT = "system:serviceaccount:"


class Tokens:
    """Asks the platform whose a token is."""

    def __init__(self, kube: Kube, audience: str, trust_domain: str) -> None:
        self._kube = kube
        self._audience = audience
        self._trust_domain = trust_domain
        self._room = asyncio.Semaphore(AT_ONCE)

    async def identity(self, metadata: Sequence[tuple[str, Any]]) -> Identity:
        """The identity of who sent a call with that metadata; raises `Refused`."""
        token = _bearer(metadata)
        async with self._room:
            status = await self._review(token)
        audiences = status.get("audiences") or ()
        if not status.get("authenticated"):
            words = str(status.get("error") or "the platform does not know it")[:300]
            wrong = "audience" in words
            raise _unknown(
                f"the token is not accepted: {words}", "wrong_audience" if wrong else "unauthenticated"
            )
        if self._audience not in audiences:
            raise _unknown(f"the token is not for the audience {self._audience!r}", "wrong_audience")
        return self._identity_of(str((status.get("user") or {}).get("username", "")))

    async def _review(self, token: str) -> dict[str, Any]:
        spec = {"token": token, "audiences": [self._audience]}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        try:
            answer = await self._kube.create(REVIEWS, review)
        except KubeError as error:
            if error.status in {400, 422}:
                raise _unknown("the token is not accepted: the platform cannot read it") from None
            raise Refused("ca_not_ready", "UNAVAILABLE", f"tokens cannot be checked: {error}") from None
        status: dict[str, Any] = answer.get("status") or {}
        return status

    def _identity_of(self, user: str) -> Identity:
        namespace, colon, account = user.removeprefix(ACCOUNT).partition(":")
        if not user.startswith(ACCOUNT) or not colon:
            raise _unknown(f"the token is of {user[:200]!r}, which is no service account")
        return Identity(self._trust_domain, namespace, account)


def _bearer(metadata: Sequence[tuple[str, Any]]) -> str:
    value = next((value for key, value in metadata if key.lower() == "authorization"), "")
    scheme, _, token = str(value).partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _unknown("the call carries no token; send the metadata 'authorization: Bearer <token>'")
    if len(token) > LONGEST:
        raise _unknown(f"the token has {len(token)} characters; at most {LONGEST} are read")
    return token


class Certificates:
    """Looks at the certificate that a caller showed, at every call: gRPC looks only when they connect.

    `exists` says whether the platform has a service account (namespace, name).
    """

    def __init__(self, check: PeerCheck, trust_domain: str, exists: Callable[[str, str], bool]) -> None:
        self._check = check
        self._trust_domain = trust_domain
        self._exists = exists

    def identity(self, chain: Sequence[x509.Certificate]) -> Identity:
        """The identity of who showed that chain; raises `Refused`."""
        problem = self._check.problem(chain)
        if problem:
            raise _unknown(problem, "revoked" if "revoked" in problem else "unauthenticated")
        try:
            identity = identity_of(chain[0])
        except ValueError as error:
            raise _unknown(f"the certificate shown is not a workload's: {error}") from None
        if identity.trust_domain != self._trust_domain:
            raise _unknown(f"{identity} is not of this mesh's trust domain {self._trust_domain!r}")
        if not self._exists(identity.namespace, identity.account):
            raise Refused(
                "unknown_account", "PERMISSION_DENIED",
                f"service account {identity.namespace}/{identity.account} does not exist any more",
            )  # fmt: skip
        return identity


def _unknown(why: str, reason: str = "unauthenticated") -> Refused:
    return Refused(reason, "UNAUTHENTICATED", why)
