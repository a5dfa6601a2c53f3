"""A logger for what runs in light processes too: structlog's where the process uses it, else Python's own.

structlog costs 8 MB and a twentieth of a second to import, which every Pod would pay.
"""

import logging
import sys
from typing import Any


class Log:
    """Events with values, for one component."""

    def __init__(self, component: str) -> None:
        self._component = component

    def __repr__(self) -> str:
        return f"<Log of {self._component}>"

    def info(self, event: str, **values: object) -> None:
        """Something that happens as it should."""
        self._write("info", event, values)

    def warning(self, event: str, **values: object) -> None:
        """Something to look at."""
        self._write("warning", event, values)

    def _write(self, level: str, event: str, values: dict[str, object]) -> None:
        structlog: Any = sys.modules.get("structlog")
        if structlog is not None and structlog.is_configured():
            getattr(structlog.get_logger(component=self._component), level)(event, **values)
            return
        words = " ".join(f"{name}={value}" for name, value in values.items())
        getattr(logging.getLogger(f"mesh.{self._component}"), level)("%s %s", event, words)
