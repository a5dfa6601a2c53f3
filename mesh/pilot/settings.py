"""The mesh's own settings (ConfigMap `istio`, key `mesh`), read again when the mounted file changes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from mesh.api.errors import ConfigError
from mesh.api.meshconfig import MeshConfig, advice_of

POLL = 1.0  # seconds; the kubelet takes longer than that to bring a change

log = structlog.get_logger(component="settings")


class Settings:
    """`current` is the last good version. Without a file it is what holds by default."""

    def __init__(self, path: Path | None) -> None:
        """Read the file; `OSError` or `ConfigError` if that cannot be done now."""
        self.path = path
        self.problem: str | None = None
        self._text = path.read_text() if path else ""
        self.current = MeshConfig.from_yaml(self._text)
        warn(self._text)

    def __repr__(self) -> str:
        return f"<Settings of {self.path}>"

    async def run(self, changed: Callable[[], None]) -> None:
        """Look at the file for ever, and call `changed` after it has brought something else."""
        while True:
            await asyncio.sleep(POLL)
            if self.look():
                changed()

    def look(self) -> bool:
        """Read the file if it differs; whether that brought other settings. What is wrong is logged."""
        if self.path is None:
            return False
        try:
            text = self.path.read_text()
            if text == self._text:
                return False
            self._text, before = text, self.current
            self.current, self.problem = MeshConfig.from_yaml(text), None
        except (OSError, UnicodeError, ConfigError) as error:
            if str(error) != self.problem:
                log.warning("cannot use the mesh's settings; the last good ones stay", reason=str(error))
            self.problem = str(error)
            return False
        log.info("the mesh's settings have changed")
        warn(text)
        return self.current != before


def warn(text: str) -> None:
    """Log what of the settings is doubtful, or accepted without effect."""
    for each in advice_of(text):
        log.warning("about the mesh's settings", reason=str(each))
