"""Whether an object may become configuration: refused with all reasons, or admitted with doubts."""

from collections.abc import Mapping
from typing import Any

from mesh.api.advice import advice_on
from mesh.api.errors import ConfigError, Problem
from mesh.api.parse import parse_object


def admit(obj: Mapping[str, Any], *, origin: str = "") -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Errors and warnings about a Kubernetes object of one of the mesh's kinds; with errors it is refused."""
    try:
        parsed = parse_object(obj, origin=origin)
    except ConfigError as error:
        return error.problems, ()
    return (), tuple(advice_on(parsed, origin=origin))
