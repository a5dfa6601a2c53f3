"""The generator for people: one line while it runs, and a table at its end, on standard error."""

from rich.console import Console
from rich.table import Table

from loadtests.openloop.lines import UNKNOWN, AnyLine, Ended, Started, Window
from loadtests.openloop.tally import Measured, Part

WIDTH = 110
"""Columns that the table gets at least: in a file or a narrow window its figures are not broken."""
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


class Show:
    """Takes the lines as they come."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._start = 0.0

    def __call__(self, line: AnyLine, whole: Part | None) -> None:
        """Print what people want to know of it."""
        if isinstance(line, Started):
            self._start = line.start
            lasting = f"for {line.seconds:g} s" if line.seconds is not None else "until it is stopped"
            self._print(f"{line.schedule} requests/s to {line.target} {lasting}")
        elif isinstance(line, Window):
            self._print(self._window(line))
        elif whole is not None:
            self._ended(line, whole)

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def _window(self, line: Window) -> str:
        part, account = line.account, line.account
        sums = [each.response_time for each in line.labels.values()]
        slowest = max((each.longest or 0.0 for each in sums), default=0.0)
        return (
            f"{line.end - self._start:7.1f} s  due {account.scheduled}, sent {account.sent}, "
            f"late {account.late}, dropped {account.dropped}; done {part.done}, failed {account.failed}, "
            f"under way {line.under_way}; longest {millis(slowest)}"
        )

    def _ended(self, line: Ended, whole: Part) -> None:
        account = line.account
        words = {
            "end": "the schedule is at its end",
            "stopped": "stopped",
            "error": f"failed: {line.message}",
        }
        self._print(f"{line.end - line.start:7.1f} s  {words[line.reason]}")
        self._print(
            f"due {account.scheduled}: sent {account.sent} ({share(account.sent_share)}), of them late "
            f"{account.late}, dropped {account.dropped}; done {account.done}, failed {account.failed}"
        )
        self._console.width = max(self._console.width, WIDTH)
        self._console.print(latencies(whole))
        for kind, times in sorted(whole.overall().failures.items()):
            self._print(f"  {times} x {kind}")


def latencies(part: Part) -> Table:
    """Percentiles of both times, by label."""
    table = Table("from", "time", "count", *(f"p{percent:g}" for percent in PERCENTILES), "max", box=None)
    for label, measured in sorted(part.labels.items()):
        _rows(table, "(unknown)" if label == UNKNOWN and len(part.labels) > 1 else label or "all", measured)
    if len(part.labels) > 1:
        _rows(table, "all", part.overall())
    return table


def _rows(table: Table, name: str, measured: Measured) -> None:
    for kind, times in (("response", measured.response), ("service", measured.service)):
        shown = [millis(times.percentile(percent)) for percent in PERCENTILES]
        table.add_row(name, kind, str(times.count), *shown, millis(times.longest))
        name = ""


def millis(seconds: float | None) -> str:
    """A duration in milliseconds, for people."""
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def share(value: float | None) -> str:
    """A share in per cent, for people."""
    return "-" if value is None else f"{value:.1%}"
