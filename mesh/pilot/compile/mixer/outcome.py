"""What becomes of an instance at a handler, as conditions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.pilot.compile.mixer.formula import NEVER, Formula
from mesh.rules import answers
from mesh.rules.adapter import CheckResult


@dataclass(frozen=True, slots=True)
class Reply:
    """What a refused caller gets. `format` is a body with Envoy's operators in it."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    format: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """When istio-policy is to say (and why), and when and how Envoy refuses; no two hold together."""

    asked: Formula = NEVER
    refusals: tuple[tuple[Formula, Reply], ...] = ()
    why: str = "an attribute that an instance needs may be absent"


def said(result: CheckResult, handler: str) -> Reply:
    """The answer that istio-policy makes of a result."""
    return Reply(answers.status_of(result), answers.body_of(result, handler), result.headers)
