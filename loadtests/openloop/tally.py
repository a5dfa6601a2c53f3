"""Counts while a run goes on, window by window; the whole is what the windows come to."""

from collections import Counter
from dataclasses import dataclass, field

from loadtests.openloop.account import Account
from loadtests.openloop.latency import Latency
from loadtests.openloop.lines import Labelled


@dataclass(slots=True)
class Measured:
    """The requests of one label that ended."""

    failures: Counter[str] = field(default_factory=Counter)
    response: Latency = field(default_factory=Latency)
    service: Latency = field(default_factory=Latency)
    response_good: Latency = field(default_factory=Latency)
    service_good: Latency = field(default_factory=Latency)

    def done(self, failure: str, response: float, service: float) -> None:
        """One more; times in seconds."""
        self.response.record(response)
        self.service.record(service)
        if failure:
            self.failures[failure] += 1
        else:
            self.response_good.record(response)
            self.service_good.record(service)

    def add(self, other: "Measured") -> None:
        """Another window's."""
        self.failures.update(other.failures)
        self.response.add(other.response)
        self.service.add(other.service)
        self.response_good.add(other.response_good)
        self.service_good.add(other.service_good)

    def labelled(self) -> Labelled:
        """As a line has it."""
        return Labelled(
            count=self.response.count,
            failures=dict(self.failures),
            response=self.response.encode(),
            service=self.service.encode(),
            response_good=self.response_good.encode(),
            service_good=self.service_good.encode(),
        )


@dataclass(slots=True)
class Part:
    """One stretch of time."""

    account: Account = field(default_factory=Account)
    labels: dict[str, Measured] = field(default_factory=dict)

    def add(self, other: "Part") -> None:
        """A later stretch."""
        self.account += other.account
        for label, measured in other.labels.items():
            self.labels.setdefault(label, Measured()).add(measured)

    def lines(self) -> dict[str, Labelled]:
        """By label, as a line has it."""
        return {label: measured.labelled() for label, measured in sorted(self.labels.items())}

    def overall(self) -> Measured:
        """All labels together."""
        together = Measured()
        for measured in self.labels.values():
            together.add(measured)
        return together


class Tally:
    """What the driver tells. `take` closes a window; `whole` holds all closed ones."""

    def __init__(self) -> None:
        self.whole = Part()
        self.under_way = 0
        self._window = Part()

    def due(self) -> None:
        """A request is due."""
        self._window.account.scheduled += 1

    def dropped(self) -> None:
        """It is not sent."""
        self._window.account.dropped += 1

    def sent(self) -> None:
        """It is sent."""
        self.under_way += 1
        self._window.account.sent += 1

    def late(self) -> None:
        """It left late."""
        self._window.account.late += 1

    def done(self, label: str, failure: str, *, response: float, service: float) -> None:
        """It ended; times in seconds."""
        self.under_way -= 1
        account = self._window.account
        account.done += 1
        account.failed += bool(failure)
        self._window.labels.setdefault(label, Measured()).done(failure, response, service)

    def take(self) -> Part:
        """What happened since the last time."""
        part, self._window = self._window, Part()
        self.whole.add(part)
        return part
