"""What the agent does about a new trust bundle, in the order that keeps everybody connected.

Trust it first; then replace the certificate if the bundle does away with it; and agree to the bundle only
when Envoy has taken the replacement. When all agents have agreed, nobody shows the old certificates any more.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from mesh.agent.identity.certificates import Certificates
from mesh.agent.identity.sds import SecretServer
from mesh.agent.identity.shelf import DEFAULT, ROOTCA
from mesh.agent.identity.trust import Trust
from mesh.agent.log import say
from mesh.pki.bundle import Bundle
from mesh.pki.signer import SigningFailed
from mesh.pki.trust import renewal_reason

BACKOFF = (0.25, 10.0)  # seconds: first and longest pause after a renewal that failed


class Refused(Exception):
    """The bundle cannot be agreed to; the text goes to Pilot."""


class Follower:
    """Follows bundles. `sleep` passes time, `chance` is from 0 to 1."""

    def __init__(
        self,
        trust: Trust,
        certificates: Certificates,
        server: SecretServer,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._trust = trust
        self._certificates = certificates
        self._server = server
        self._sleep = sleep
        self._chance = chance

    async def follow(self, bundle: Bundle) -> None:
        """Return when the bundle is in force in this Pod. `Refused` if Envoy does not take it."""
        self._trust.set(bundle)
        await self.comply(bundle)
        for name in (ROOTCA, DEFAULT):
            if problem := await self._server.accepted(name):
                raise Refused(f"Envoy refuses {name} of its agent: {problem}")

    async def comply(self, bundle: Bundle) -> None:
        """Return when the Pod's certificate is good under the bundle; ask for others until then."""
        failures = 0
        while (pair := self._certificates.current) and (reason := renewal_reason(pair, bundle)):
            try:
                await self._certificates.renew(reason)
            except SigningFailed as error:
                say(f"no certificate in place of the present one ({reason}): {error}")
            if pair is self._certificates.current or failures:
                await self._sleep(min(BACKOFF[0] * 2**failures, BACKOFF[1]) * (0.5 + self._chance() / 2))
            failures = min(failures + 1, 10)
