"""What the Pod trusts: the mounted root at first, then whatever Pilot said last."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from mesh.agent.log import say
from mesh.pki.bundle import Bundle
from mesh.pki.certificates import chain_problem, load_chain
from mesh.pki.keypair import KeyPair

INTERVAL = 0.5  # seconds between looks for the first root
Followers = Callable[[Bundle], None]


class Trust:
    """The bundle in force. Pilot's word replaces the mounted file, which the kubelet updates late."""

    def __init__(self, mounted: Path, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._path = mounted
        self._sleep = sleep
        self._bundle: Bundle | None = None
        self._mounted_then = b""
        self._complained = False
        self._followers: list[Followers] = []

    def __repr__(self) -> str:
        return f"<Trust {'by Pilot' if self._bundle else f'by {self._path}'}>"

    def subscribe(self, changed: Followers) -> None:
        """Call `changed` with each new bundle."""
        self._followers.append(changed)

    def roots(self) -> bytes:
        """The root certificates now, PEM; `OSError` if there are none yet."""
        return self._bundle.roots if self._bundle else self._path.read_bytes()

    async def begin(self) -> None:
        """Take the mounted roots as soon as they can be read."""
        while self._bundle is None and self.look_again() is None:
            if not self._complained:
                say(f"no root certificate in {self._path} yet; the mesh's trust is mounted there")
            self._complained = True
            await self._sleep(INTERVAL)

    def set(self, bundle: Bundle) -> None:
        """What Pilot says."""
        self._mounted_then = self._mounted()
        self._take(bundle)

    def look_again(self) -> Bundle | None:
        """The mounted roots, taken in place of Pilot's if they have changed since it spoke.

        For an agent that was away while the root was rotated: it can reach nobody by what it heard last.
        """
        mounted = self._mounted()
        if not mounted or mounted == self._mounted_then:
            return None
        self._mounted_then = mounted
        bundle = Bundle(mounted, self._bundle.crl if self._bundle else b"")
        try:
            assert bundle.certificates
        except ValueError:
            return None
        self._take(bundle)
        return bundle

    def _take(self, bundle: Bundle) -> None:
        self._bundle = bundle
        for changed in tuple(self._followers):
            changed(bundle)

    def _mounted(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError:
            return b""


def foreign(pair: KeyPair, bundle: Bundle) -> bool:
    """Whether a certificate leads to none of the roots."""
    moment = pair.leaf.not_valid_before_utc  # whether it has expired is another question
    return chain_problem(load_chain(pair.chain), bundle.certificates, moment) is not None
