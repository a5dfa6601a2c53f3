"""The agent's own stream to Pilot: mutual TLS, node kind `agent`, subscribed to the trust bundle and no more.

Plain delta xDS. A message waits for its reply until the bundle is in force in this Pod; a newer one takes its
place.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from mesh.agent.identity import wire
from mesh.agent.identity.certificates import Certificates
from mesh.agent.identity.follower import Follower, Refused
from mesh.agent.identity.shelf import read_trust
from mesh.agent.identity.trust import Trust, foreign
from mesh.agent.log import say
from mesh.pki.bundle import Bundle
from mesh.pki.keypair import KeyPair
from mesh.pki.signer import SigningFailed
from mesh.pki.trust import renewal_reason

PATH = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
BACKOFF = (0.1, 2.0)  # seconds: as Envoy's own stream, so that Pilot's return is noticed soon
LEAVE = (1.0, 3.0)  # seconds after a renewal until the stream is made anew with the new certificate
MEND = 30.0  # seconds at most between attempts to connect, whatever is tried meanwhile
OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),  # or the pauses of an earlier attempt hold up this one
    ("grpc.max_receive_message_length", -1),
)
HANDSHAKE = "handshake"  # in gRPC's words when it and Pilot do not trust each other
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED


class TrustStream:
    """Keeps the stream open. `trouble` says why it is not, for people."""

    def __init__(
        self,
        address: str,
        server_name: str,
        node: Mapping[str, Any],
        trust: Trust,
        certificates: Certificates,
        follower: Follower,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.trouble = "not connected yet"
        self.version = ""
        self._address = address
        self._options = (*OPTIONS, ("grpc.ssl_target_name_override", server_name))
        self._node = node
        self._trust = trust
        self._certificates = certificates
        self._follower = follower
        self._sleep = sleep
        self._chance = chance
        self._failures = 0
        self._heard: Bundle | None = None
        self._following: asyncio.Task[None] | None = None
        self._replaced = asyncio.Event()
        certificates.subscribe(self._tell)

    def __repr__(self) -> str:
        return f"<TrustStream to {self._address}: {self.trouble or f'version {self.version}'}>"

    async def run(self) -> None:
        """Connect again and again, until cancelled. The Pod must have its first certificate."""
        while True:
            pair = self._certificates.current
            assert pair is not None
            try:
                await self._once(pair)
            except grpc.aio.AioRpcError as error:
                await self._failed(error, pair)
            except OSError as error:
                self._complain(f"what is trusted cannot be read: {error}")
            except wire.NotUnderstood as error:
                self._complain(str(error))
            await self._pause()

    async def _once(self, pair: KeyPair) -> None:
        """One stream, until it ends or its certificate is not the present one any more."""
        credentials = grpc.ssl_channel_credentials(self._trust.roots(), pair.key, pair.chain)
        async with grpc.aio.secure_channel(self._address, credentials, options=self._options) as channel:
            call = channel.stream_stream(PATH)()
            leaving = asyncio.create_task(self._leave(pair, call))
            try:
                await say_on(call, wire.subscription(self._node, self.version))
                await self._converse(call)
            finally:
                leaving.cancel()
                await self._forget()

    async def _converse(self, call: Any) -> None:
        while (raw := await call.read()) is not grpc.aio.EOF:
            self._failures, self.trouble = 0, ""
            await self._forget()
            nonce, version, payload = wire.read_bundle(raw)
            if payload is None:
                await say_on(call, wire.reply(nonce))
            else:
                self._following = asyncio.create_task(self._answer(call, nonce, version, payload))

    async def _answer(self, call: Any, nonce: str, version: str, payload: bytes) -> None:
        """Agree to a bundle once it is in force, or say why not."""
        try:
            self._heard = read_trust(payload)
            await self._follower.follow(self._heard)
        except (ValueError, Refused) as error:
            say(f"Pilot's trust bundle is refused: {error}")
            await say_on(call, wire.reply(nonce, str(error)))
        else:
            self.version = version
            await say_on(call, wire.reply(nonce))

    async def _forget(self) -> None:
        """A newer bundle, or the stream's end, makes the answer to the last one needless."""
        task, self._following = self._following, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _leave(self, pair: KeyPair, call: Any) -> None:
        """End the call some time after its certificate was replaced: the old root may be withdrawn next."""
        while self._certificates.current is pair:
            await self._replaced.wait()
        while (task := self._following) and not task.done():
            await asyncio.wait({task})
        await self._sleep(LEAVE[0] + (LEAVE[1] - LEAVE[0]) * self._chance())
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.done_writing()

    def _tell(self, _: KeyPair) -> None:
        self._replaced.set()
        self._replaced = asyncio.Event()

    async def _failed(self, error: grpc.aio.AioRpcError, pair: KeyPair) -> None:
        """Do what may help before the next attempt."""
        if pair is not self._certificates.current:
            return  # it was replaced meanwhile, and was refused for the reason why it was
        self._complain(f"{self._address}: {error.code().name}: {error.details()}")
        with suppress(TimeoutError):
            async with asyncio.timeout(MEND):
                await self._mend(error, pair)

    async def _mend(self, error: grpc.aio.AioRpcError, pair: KeyPair) -> None:
        """Get another certificate, or trust what was mounted meanwhile."""
        reason = self._heard and renewal_reason(pair, self._heard)  # what the stream's end interrupted
        if error.code() is UNKNOWN:
            reason = f"Pilot refuses the present one: {error.details()}"
        if reason and self._now_and_then():
            await self._renew(reason)
        elif HANDSHAKE in (error.details() or "").lower() and (bundle := self._trust.look_again()):
            say("the mounted roots have changed since Pilot was heard last; trusting them")
            if foreign(pair, bundle):
                await self._renew("the mounted roots do not know its issuer")

    def _now_and_then(self) -> bool:
        """After 1, 2, 4, 8... refusals: a new certificate need not help, and Citadel has others to serve."""
        number = self._failures + 1
        return number & (number - 1) == 0

    async def _renew(self, reason: str) -> None:
        try:
            await self._certificates.renew(reason)
        except SigningFailed as error:
            say(f"no certificate: {error}")

    def _complain(self, trouble: str) -> None:
        if trouble != self.trouble:
            say(f"no trust bundle from Pilot: {trouble}")
        self.trouble = trouble

    async def _pause(self) -> None:
        pause = min(BACKOFF[0] * 2 ** min(self._failures, 10), BACKOFF[1])
        self._failures += 1
        await self._sleep(pause * (0.5 + self._chance() / 2))


async def say_on(call: Any, message: bytes) -> None:
    """Send; a call that has ended meanwhile says so when it is read."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.write(message)
