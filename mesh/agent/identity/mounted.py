"""The classic way: key and certificate from the files of a mounted Secret `istio.<account>`.

The kubelet replaces all of a Secret's files at once, by a symbolic link `..data`; looking at the contents
every second is therefore enough, and needs no more than three small reads.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from mesh.agent.log import say
from mesh.pki.certificates import seconds_left
from mesh.pki.clock import Clock, utc_now
from mesh.pki.holder import HolderStatistics
from mesh.pki.keypair import KeyPair

INTERVAL = 1.0  # seconds between looks at the files


class Mounted:
    """The certificate in a folder: `key.pem` and `cert-chain.pem`, followed as they change."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.current: KeyPair | None = None
        self.trouble = ""
        self._folder = folder
        self._clock = clock
        self._sleep = sleep
        self._subscribers: list[Callable[[KeyPair], None]] = []
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Mounted certificate in {self._folder}{': ' + self.trouble if self.trouble else ''}>"

    @property
    def statistics(self) -> HolderStatistics:
        """Nothing is asked for here."""
        return HolderStatistics(0, 0)

    def seconds_left(self) -> float:
        """Seconds until the certificate expires; negative afterwards, 0 before the first."""
        return seconds_left(self.current.leaf, self._clock()) if self.current else 0.0

    def subscribe(self, changed: Callable[[KeyPair], None]) -> None:
        """Call `changed` with each new key and certificate."""
        self._subscribers.append(changed)

    async def run(self) -> None:
        """Follow the files until cancelled."""
        while True:
            self.look()
            await self._sleep(INTERVAL)

    async def renew(self, reason: str) -> KeyPair:
        """Wait until Citadel has written another certificate and the kubelet has brought it."""
        say(f"waiting for another certificate in {self._folder}: {reason}")
        await self._news.wait()
        assert self.current is not None
        return self.current

    def look(self) -> None:
        """Take the files if they are whole, belong together and differ from before."""
        try:
            folder = self._present()
            pair = KeyPair((folder / "key.pem").read_bytes(), (folder / "cert-chain.pem").read_bytes())
            problem = None if pair == self.current else pair.problem()
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}"
        if problem:
            self._complain(problem)
        elif pair != self.current:
            self._take(pair)
        else:
            self.trouble = ""

    def _present(self) -> Path:
        """The folder that `..data` leads to now, so that both files are of one version."""
        data = self._folder / "..data"
        return data.resolve() if data.is_symlink() else self._folder

    def _complain(self, problem: str) -> None:
        if problem != self.trouble:
            say(f"the mounted certificate cannot be used: {problem}")
        self.trouble = problem

    def _take(self, pair: KeyPair) -> None:
        self.current, self.trouble = pair, ""
        for changed in tuple(self._subscribers):
            changed(pair)
        self._news.set()
        self._news = asyncio.Event()
