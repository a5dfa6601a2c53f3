"""What the generator says on stdout: JSON, one line a message, for programs to read.

`started` comes once, when the generator is ready and its clock runs; then a `window` for each stretch of the
run, and one `ended` at the end, whatever the cause: only a killed generator says none. Requests are accounted
in the window in which it happened: due and sent, answered or failed. So the answers of requests sent at the
end of a window, or in a stall, stand in a later window; the last window also holds what was waited for after
the schedule's end.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError

from loadtests.openloop.account import Account
from loadtests.openloop.latency import Latency, merged

FORMAT: Literal[1] = 1
UNKNOWN = ""
"""The label of requests of which the answer did not tell it: refused, timed out, or answered by a proxy."""


class Line(BaseModel):
    """What every line has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def text(self) -> str:
        """The line without its end."""
        return self.model_dump_json()


class Labelled(BaseModel):
    """Requests of one label (such as the answering version) that ended in one window.

    `failures` counts by kind: `http 503`, `timeout`, `connection refused`, ... `response` is the time from
    when each was due to the end of its answer, `service` from its sending. Both hold good and failed
    requests, since a failure is an answer to who waited for it; `..._good` hold the good ones alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: NonNegativeInt = 0
    failures: Mapping[str, NonNegativeInt] = Field(default_factory=dict)
    response: str
    service: str
    response_good: str
    service_good: str

    @property
    def failed(self) -> int:
        """How many of `count` failed."""
        return sum(self.failures.values())

    @property
    def response_time(self) -> Latency:
        """From the due time; raises ValueError if the line does not hold a histogram."""
        return Latency(self.response)

    @property
    def service_time(self) -> Latency:
        """From the sending; raises ValueError if the line does not hold a histogram."""
        return Latency(self.service)

    def __add__(self, other: "Labelled") -> "Labelled":
        """Both together."""
        kinds = [*self.failures, *(kind for kind in other.failures if kind not in self.failures)]
        return Labelled(
            count=self.count + other.count,
            failures={kind: self.failures.get(kind, 0) + other.failures.get(kind, 0) for kind in kinds},
            response=_both(self.response, other.response),
            service=_both(self.service, other.service),
            response_good=_both(self.response_good, other.response_good),
            service_good=_both(self.service_good, other.service_good),
        )


class Started(Line):
    """The generator runs. `start` is Unix time in seconds; `seconds` None if the schedule has no end."""

    kind: Literal["started"] = "started"
    format: Literal[1] = FORMAT
    target: str
    schedule: str
    start: float
    seconds: float | None
    limit: int
    pid: int


class Window(Line):
    """From `start` to `end` (Unix time in seconds); `under_way` requests had no answer at its end."""

    kind: Literal["window"] = "window"
    start: float
    end: float
    account: Account
    under_way: NonNegativeInt = 0
    labels: Mapping[str, Labelled] = Field(default_factory=dict)


class Ended(Line):
    """The whole run. `reason`: the schedule's `end`, `stopped` by a signal, or the generator's `error`.

    `abandoned` requests were under way and got no answer in the time that the generator waits at the end;
    they count as done and failed (`abandoned`).
    """

    kind: Literal["ended"] = "ended"
    reason: Literal["end", "stopped", "error"]
    message: str = ""
    start: float
    end: float
    account: Account
    labels: Mapping[str, Labelled] = Field(default_factory=dict)


AnyLine = Started | Window | Ended
_LINES: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="kind")])


class NoLineError(ValueError):
    """A text is not a line of the generator."""


def read(text: str) -> AnyLine:
    """The message of one line; raises NoLineError that says what is wrong with it."""
    try:
        return _LINES.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the line"
        raise NoLineError(
            f"no line of the open-loop generator: {place}: {first['msg']}: {text[:120]!r}"
        ) from None


def together(windows: Mapping[str, Labelled], more: Mapping[str, Labelled]) -> dict[str, Labelled]:
    """Two windows' labels in one."""
    return {
        **windows,
        **{label: windows[label] + each if label in windows else each for label, each in more.items()},
    }


def _both(one: str, other: str) -> str:
    return merged((Latency(one), Latency(other))).encode()
