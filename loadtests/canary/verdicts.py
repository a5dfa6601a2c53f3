"""What is said of a gate, a step and a rollout, and what it rests on."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Verdict(StrEnum):
    """From a gate's to a whole rollout's; only `PASS` promotes."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


_WORST = (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
EXIT_CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.ERROR: 4, Verdict.INCONCLUSIVE: 5}
NOT_ROLLED_BACK = 6
INTERRUPTED = 130


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some; of none it is inconclusive, for nothing was looked at."""
    found = set(verdicts)
    return next((each for each in _WORST if each in found), Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Finding:
    """A gate's verdict, with the figures that it rests on in words."""

    gate: str
    verdict: Verdict
    words: str


@dataclass(frozen=True, slots=True)
class Look:
    """A judgement of the stretch from `start` to `end` (Unix time in seconds)."""

    start: float
    end: float
    findings: tuple[Finding, ...]
    whole: bool = False

    @property
    def verdict(self) -> Verdict:
        """The worst of its findings."""
        return worst(each.verdict for each in self.findings)


@dataclass(slots=True)
class StepResult:
    """One step as it went; times are Unix time in seconds."""

    title: str
    weight: int
    start: float
    judged_from: float = 0.0
    end: float = 0.0
    verdict: Verdict = Verdict.INCONCLUSIVE
    words: str = ""
    looks: list[Look] = field(default_factory=list)
    judged: bool = True

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of the last look."""
        return self.looks[-1].findings if self.looks else ()


@dataclass(frozen=True, slots=True)
class Point:
    """One window of the load: of each side the requests a second, the failures, p50 and p99 in seconds."""

    start: float
    end: float
    weight: int
    step: str
    sides: dict[str, "Side"]
    scheduled: int = 0
    sent: int = 0
    late: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Side:
    """One side in one window; the latencies are None without an answer."""

    count: int
    failed: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """An absolute limit of a gate: of p50 and p99 in seconds, of errors as a share (0 to 1)."""

    figure: Literal["p50", "p99", "errors"]
    value: float


@dataclass(frozen=True, slots=True)
class About:
    """What was to be done: the versions' subsets, the load in words, and the titles of all steps."""

    baseline: str = "baseline"
    canary: str = "canary"
    load: str = ""
    confidence: float = 0.0
    steps: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()


@dataclass(slots=True)
class Result:
    """A rollout as it went. `restored`: the rules are as they were, and traffic has shown it.

    `weights`: from which time on which weight was in force. `rolled_back_from`: when the way back began, 0 if
    it did not. Times are Unix time in seconds.
    """

    rollout: str
    namespace: str
    virtual_service: str
    start: float
    end: float = 0.0
    verdict: Verdict = Verdict.INCONCLUSIVE
    words: str = ""
    promoted: bool = False
    restored: bool = False
    interrupted: bool = False
    steps: list[StepResult] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    weights: list[tuple[float, float]] = field(default_factory=list)
    rolled_back_from: float = 0.0
    about: About = About()

    @property
    def exit_code(self) -> int:
        """0 promoted; 1 failed; 4 error; 5 inconclusive; 6 not rolled back; 130 interrupted."""
        if not self.promoted and not self.restored:
            return NOT_ROLLED_BACK
        return INTERRUPTED if self.interrupted else EXIT_CODES[self.verdict]
