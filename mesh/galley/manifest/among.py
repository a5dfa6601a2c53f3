"""Mixer's objects of files, held against themselves and against each other.

What a name leads to may be in the cluster already, so one that leads nowhere among the files is doubtful
only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mesh.api.errors import Problem
from mesh.api.parse import parse_object
from mesh.galley.admission import concerns
from mesh.model import ConfigObject, ObjectKey

ELSEWHERE = "apply what is named first, if it is not in the cluster yet"


class Among:
    """The objects of files that are Mixer's and have no fault of form."""

    def __init__(self, objects: Iterable[Mapping[str, Any]]) -> None:
        parsed = [parse_object(obj) for obj in objects if concerns(obj)]
        self._present: Mapping[ObjectKey, ConfigObject] = {each.key: each for each in parsed}

    def __repr__(self) -> str:
        return f"<Among {len(self._present)} objects>"

    def judged(self, obj: Mapping[str, Any]) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
        """Errors and warnings about one of them; nothing about others."""
        if not concerns(obj):
            return (), ()
        from mesh.rules.admission import judgement
        from mesh.rules.registry import adapters

        found = judgement(parse_object(obj), self._present, adapters())
        if found.dangling:
            return (), (*found.warnings, *(_elsewhere(each) for each in found.errors))
        return found.errors, found.warnings


def _elsewhere(problem: Problem) -> Problem:
    message = f"{problem.message} among these files"
    return replace(problem, message=message, remedy=problem.remedy or ELSEWHERE)
