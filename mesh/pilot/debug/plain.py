"""Values of the model as JSON: dataclasses, enumerations, pydantic models and mappings with any keys."""

from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from mesh.model import ObjectKey

HIDDEN = "(hidden)"
"""In place of fields that are in no `repr` either: private keys."""


def plain(value: Any) -> Any:
    """JSON values of the same content; what has no form of its own becomes text."""
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case ObjectKey():
            return str(value)
        case Mapping():
            return {_key(key): plain(each) for key, each in value.items()}
        case Set() | list() | tuple():
            return [plain(each) for each in (sorted(value, key=str) if isinstance(value, Set) else value)]
        case _:
            return _object(value)


def _object(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) if field.repr else HIDDEN for field in fields(value)
        }
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return str(value)


def _key(key: Any) -> str:
    return ":".join(map(str, key)) if type(key) is tuple else str(key)
