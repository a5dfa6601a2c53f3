"""The trust domains of the mesh: its own and its aliases, as the mesh's settings have them now."""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from mesh.api.errors import ConfigError
from mesh.api.meshconfig import MeshConfig

POLL = 1.0
"""Seconds between looks at the mounted file; the kubelet takes longer than that to bring a change."""

log = structlog.get_logger(component="mixer")


class Domains:
    """Gives the domains whose proxies are let in, as Pilot does: `own`, that of the settings, its aliases.

    Without a file, `own` alone. Of a file that cannot be used the last good version stays, and what is wrong
    is logged once.
    """

    def __init__(
        self, own: str, path: Path | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._own = own
        self._path = path
        self._monotonic = monotonic
        self._next = monotonic()
        self._text = ""
        self._problem = ""
        self._current: tuple[str, ...] = (own,)

    def __repr__(self) -> str:
        return f"<Domains {' '.join(self._current)}>"

    def __call__(self) -> tuple[str, ...]:
        """The domains, its own first."""
        if self._path is not None and self._monotonic() >= self._next:
            self._next = self._monotonic() + POLL
            self._look(self._path)
        return self._current

    def _look(self, path: Path) -> None:
        try:
            text = path.read_text()
            if text != self._text:
                mesh = MeshConfig.from_yaml(text)
                self._current = tuple(
                    dict.fromkeys((self._own, mesh.trust_domain, *mesh.trust_domain_aliases))
                )
                self._text = text
            self._problem = ""
        except (OSError, UnicodeError, ConfigError) as error:
            if str(error) != self._problem:
                log.warning("cannot use the mesh's settings; the last good ones stay", reason=str(error))
            self._problem = str(error)
