"""The adapters that are installed: of this package and of others, by the name that rules use.

A package adds one by an entry point of the group `meshwright.adapters`: name -> class.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import structlog

from mesh.rules.adapter import Adapter
from mesh.rules.templates import TEMPLATES

GROUP = "meshwright.adapters"
log = structlog.get_logger(component="rules")


@cache
def adapters() -> Mapping[str, type[Adapter[Any]]]:
    """All adapters by name; looked for once. What cannot be loaded is told in the log and skipped."""
    return loaded(entry_points(group=GROUP))


def loaded(points: Iterable[EntryPoint]) -> Mapping[str, type[Adapter[Any]]]:
    """The adapters behind entry points; the first of each name counts."""
    found: dict[str, type[Adapter[Any]]] = {}
    for point in points:
        try:
            cls = point.load()
        except Exception as error:  # whatever a stranger's module raises, the others are served
            log.warning(
                "an adapter cannot be loaded", adapter=point.name, entry=point.value, error=str(error)
            )
            continue
        why = unfit(cls)
        if why or point.name in found:
            log.warning("an adapter is left out", adapter=point.name, entry=point.value, error=why or "twice")
            continue
        found[point.name] = cls
    return MappingProxyType(found)


def unfit(cls: Any) -> str:
    """Why a class is no adapter; empty if it is one."""
    if not isinstance(cls, type) or not issubclass(cls, Adapter):
        return "it is no subclass of mesh.rules.adapter.Adapter"
    missing = [name for name in ("name", "templates", "Params") if not hasattr(cls, name)]
    if missing:
        return f"it does not say its {', '.join(missing)}"
    unknown = sorted(set(cls.templates) - set(TEMPLATES))
    return f"there is no template {', '.join(unknown)}" if unknown else ""
