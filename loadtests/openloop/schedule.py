"""When requests are due: iterators of seconds from the start, never falling, made without looking at a clock.

A schedule knows nothing of answers. That is the whole point of an open loop: people arrive whether or not
those before them were served.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol


class Schedule(Protocol):
    """Iterated anew, it gives the same times again."""

    @property
    def seconds(self) -> float | None:
        """How long it lasts; None without an end."""

    def __iter__(self) -> Iterator[float]:
        """The due times."""

    def __str__(self) -> str:
        """As `parsed` reads it."""


@dataclass(frozen=True, slots=True)
class Constant:
    """`rate` requests a second, evenly."""

    rate: float
    seconds: float | None = None

    def __iter__(self) -> Iterator[float]:
        """The first at 0."""
        return _until(self.seconds, (number / self.rate for number in count()))

    def __str__(self) -> str:
        return f"constant:{self.rate:g}"


@dataclass(frozen=True, slots=True)
class Poisson:
    """`rate` requests a second on average, each independent of the others, as strangers arrive."""

    rate: float
    seconds: float | None = None
    seed: int = 1

    def __iter__(self) -> Iterator[float]:
        """Gaps are exponentially distributed."""
        return _until(self.seconds, self._times())

    def _times(self) -> Iterator[float]:
        chance, now = random.Random(self.seed), 0.0
        while True:
            now += chance.expovariate(self.rate)
            yield now

    def __str__(self) -> str:
        return f"poisson:{self.rate:g}"


@dataclass(frozen=True, slots=True)
class Ramp:
    """From `first` to `last` requests a second in `seconds`, along a line; it may fall too."""

    first: float
    last: float
    seconds: float

    def __iter__(self) -> Iterator[float]:
        """Request n is due when the line's area comes to n: the root of `slope/2 t^2 + first t = n`."""
        slope = (self.last - self.first) / self.seconds
        total = (self.first + self.last) / 2 * self.seconds
        for number in range(math.ceil(total - 1e-9)):
            under = max(0.0, self.first**2 + 2 * slope * number)
            yield 2 * number / (self.first + math.sqrt(under)) if number else 0.0

    def __str__(self) -> str:
        return f"ramp:{self.first:g},{self.last:g}"


@dataclass(frozen=True, slots=True)
class Step:
    """One rate after another, each for the same time; together `seconds`."""

    rates: Sequence[float]
    seconds: float = field(kw_only=True)

    def __iter__(self) -> Iterator[float]:
        """Evenly within a step."""
        each = self.seconds / len(self.rates)
        for number, rate in enumerate(self.rates):
            yield from (number * each + due for due in Constant(rate, each))

    def __str__(self) -> str:
        return f"step:{','.join(format(rate, 'g') for rate in self.rates)}"


class ScheduleError(ValueError):
    """A text is no schedule; the message says what is wrong and shows what would be right."""


FORMS = "constant:RATE, poisson:RATE, ramp:FIRST,LAST or step:RATE,RATE,..."


def parsed(text: str, seconds: float | None, seed: int = 1) -> Schedule:
    """The schedule that a text such as `ramp:10,200` names; raises ScheduleError."""
    kind, _, rest = text.partition(":")
    if kind not in ("constant", "poisson", "ramp", "step"):
        raise ScheduleError(f"schedule {text!r}: there is no kind {kind!r}: write {FORMS}")
    rates = [_rate(text, part) for part in rest.split(",")]
    if kind in ("constant", "poisson") and len(rates) == 1:
        return Constant(rates[0], seconds) if kind == "constant" else Poisson(rates[0], seconds, seed)
    if kind == "step" or (kind == "ramp" and len(rates) == 2):
        if seconds is None:
            raise ScheduleError(f"schedule {text!r}: it needs an end: give --duration")
        return Step(rates, seconds=seconds) if kind == "step" else Ramp(rates[0], rates[1], seconds)
    wanted = 2 if kind == "ramp" else 1
    raise ScheduleError(f"schedule {text!r}: {kind} takes {wanted} rate(s), not {len(rates)}: write {FORMS}")


def _rate(text: str, part: str) -> float:
    try:
        rate = float(part)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ScheduleError(
            f"schedule {text!r}: {part!r} is no rate above 0: write {FORMS}; rates are requests a second"
        )
    return rate


def _until(seconds: float | None, times: Iterator[float]) -> Iterator[float]:
    for due in times:
        if seconds is not None and due >= seconds - 1e-9:
            return
        yield due
