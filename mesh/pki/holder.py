"""Keeps a key and a valid certificate for one identity, and renews it before it ends.

The key is made here and never leaves; each certificate gets a new one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mesh.pki.certificates import seconds_left, serial_of
from mesh.pki.clock import Clock, utc_now
from mesh.pki.csr import request
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import Algorithm, key_pem, new_key
from mesh.pki.log import Log
from mesh.pki.signer import Signer, SigningFailed
from mesh.pki.spiffe import Identity

DAY = 24 * 3600
RENEW = (0.75, 0.85)  # of the certificate's life; chosen at random, so that a thousand agents spread out
BACKOFF = (0.5, 30.0)  # seconds: first and longest pause after a failure
LOOK = 600.0  # seconds at most between looks at the clock: machines sleep, and clocks are put right

log = Log("certificates")


@dataclass(frozen=True, slots=True)
class HolderStatistics:
    """How often a certificate was asked for, and how often in vain."""

    signed: int
    failed: int


class Holder:
    """The certificate of one identity.

    `first()` gets it; `run()` renews it until cancelled; `renew(reason)` renews it now. Those who
    subscribed get each new `KeyPair` in the event loop. Any of them may be called at any time; renewals
    happen one after another. `clock` gives the time, `sleep` passes it, `chance` is from 0 to 1.
    """

    def __init__(
        self,
        identity: Identity,
        signer: Signer,
        *,
        clock: Clock = utc_now,
        algorithm: Algorithm = "ecdsa-p256",
        lifetime: timedelta = timedelta(seconds=DAY),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.identity = identity
        self.current: KeyPair | None = None
        self._signer = signer
        self._clock = clock
        self._algorithm: Algorithm = algorithm
        self._lifetime = lifetime
        self._sleep = sleep
        self._chance = chance
        self._due = clock()
        self._lock = asyncio.Lock()
        self._subscribers: list[Callable[[KeyPair], None]] = []
        self._signed = self._failed = 0

    def __repr__(self) -> str:
        state = serial_of(self.current.leaf) if self.current else "no certificate yet"
        return f"<Holder of {self.identity}: {state}>"

    @property
    def statistics(self) -> HolderStatistics:
        """What happened so far."""
        return HolderStatistics(self._signed, self._failed)

    @property
    def due(self) -> datetime:
        """When it will be renewed."""
        return self._due

    @property
    def pair(self) -> KeyPair:
        """The present key and certificate; `RuntimeError` before the first."""
        if self.current is None:
            raise RuntimeError(f"there is no certificate of {self.identity} yet")
        return self.current

    def seconds_left(self) -> float:
        """Seconds until the certificate expires; negative afterwards, 0 before the first."""
        return seconds_left(self.current.leaf, self._clock()) if self.current else 0.0

    def subscribe(self, changed: Callable[[KeyPair], None]) -> None:
        """Call `changed` with each new key and certificate."""
        self._subscribers.append(changed)

    def unsubscribe(self, changed: Callable[[KeyPair], None]) -> None:
        """Call it no more."""
        self._subscribers.remove(changed)

    async def first(self) -> KeyPair:
        """The certificate, asked for again and again until there is one."""
        return self.current or await self._persist("the first")

    async def run(self) -> None:
        """Renew the certificate whenever it is due, until cancelled."""
        await self.first()
        while True:
            await self._until_due()
            await self._persist("its time is near")

    async def renew(self, reason: str) -> KeyPair:
        """Get a new key and certificate now; raises `SigningFailed`, and the present one stays."""
        async with self._lock:
            try:
                pair = await self._ask()
            except SigningFailed as error:
                self._failed += 1
                log.warning("no certificate", identity=str(self.identity), wanted=reason, error=str(error))
                raise
        self._signed += 1
        self._take(pair)
        log.info(
            "certificate", identity=str(self.identity), wanted=reason,
            serial=serial_of(pair.leaf), ends=str(pair.leaf.not_valid_after_utc),
        )  # fmt: skip
        return pair

    async def _ask(self) -> KeyPair:
        key = new_key(self._algorithm)
        chain = await self._signer.sign(
            request(self.identity, key), seconds=int(self._lifetime.total_seconds()), present=self._valid()
        )
        pair = KeyPair(key_pem(key), chain)
        problem = pair.problem() or self._foreign(pair)
        if problem:
            raise SigningFailed(f"what Citadel sent cannot be used: {problem}")
        return pair

    def _foreign(self, pair: KeyPair) -> str | None:
        try:
            found = pair.identity
        except ValueError as error:
            return str(error)
        return None if found == self.identity else f"it is of {found}, not of {self.identity}"

    def _valid(self) -> KeyPair | None:
        return self.current if self.seconds_left() > 0 else None

    def _take(self, pair: KeyPair) -> None:
        self.current = pair
        life = pair.leaf.not_valid_after_utc - self._clock()
        self._due = self._clock() + life * (RENEW[0] + (RENEW[1] - RENEW[0]) * self._chance())
        for changed in tuple(self._subscribers):
            changed(pair)

    async def _persist(self, reason: str) -> KeyPair:
        """Renew, trying again after a pause that grows, for as long as it takes."""
        failures = 0
        while True:
            try:
                return await self.renew(reason)
            except SigningFailed:
                pause = min(BACKOFF[0] * 2**failures, BACKOFF[1]) * (0.5 + self._chance() / 2)
                failures = min(failures + 1, 10)
                await self._sleep(pause)

    async def _until_due(self) -> None:
        while (left := (self._due - self._clock()).total_seconds()) > 0:
            await self._sleep(min(left, LOOK))
