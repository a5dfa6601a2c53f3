"""A rollout for people, in the terminal: what is done, a line a second of load, each step's verdict."""

import time

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from loadtests.canary.plan import Planned
from loadtests.canary.route import BASELINE, CANARY
from loadtests.canary.verdicts import Point, Result, Side, StepResult, Verdict
from loadtests.openloop.lines import UNKNOWN

COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ERROR: "magenta",
}


class Show:
    """Progress on standard error, so that standard output stays for programs."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._start = time.monotonic()

    def event(self, text: str) -> None:
        """Something has begun or ended."""
        self._line(f"[bold]{escape(text)}[/bold]")

    def point(self, point: Point) -> None:
        """A window of the load."""
        sides = "  ".join(
            f"{name} {shown(point.sides.get(name))}" for name in (BASELINE, CANARY) if name in point.sides
        )
        sent = f"sent {point.sent}/{point.scheduled}" if point.scheduled else "awaiting"
        unknown = point.sides.get(UNKNOWN)
        others = f"side unknown {shown(unknown)}" if unknown and unknown.count else ""
        self._line(f"  {sent:<14} {'  '.join(filter(None, (sides, others))) or 'no answer'}")

    def step(self, step: StepResult) -> None:
        """A step was judged."""
        self._line(f"  {coloured(step.verdict)} {escape(step.title)}")
        for each in step.findings:
            self._line(f"    {coloured(each.verdict)} {escape(each.gate)}: {escape(each.words)}")

    def result(self, result: Result) -> None:
        """The end."""
        state = "promoted" if result.promoted else "rolled back" if result.restored else "NOT ROLLED BACK"
        self._line(f"{coloured(result.verdict)} {state}: {escape(result.words)}")
        if not result.promoted and not result.restored:
            self._line("  try: meshctl canary abort, when the control plane is there again")

    def _line(self, text: str) -> None:
        passed = time.monotonic() - self._start
        self.console.print(f"{passed:6.1f} s  {text}", soft_wrap=True)


def coloured(verdict: Verdict) -> str:
    """A verdict in its colour."""
    return f"[{COLOURS[verdict]}]{verdict.value}[/]"


def shown(side: Side | None) -> str:
    """One side in one window."""
    if side is None or not side.count:
        return "-"
    times = " ".join(
        f"{name} {value * 1000:.1f} ms" for name, value in (("p50", side.p50), ("p99", side.p99)) if value
    )
    return f"{side.count} ({side.failed} failed) {times}"


def plan_table(steps: list[Planned]) -> Table:
    """A plan for people."""
    table = Table(
        "#",
        Column("step", overflow="fold"),
        "seconds",
        "looks",
        "requests",
        "canary",
        "at most",
        "needed",
        "enough",
        box=None,
    )
    for number, each in enumerate(steps, 1):
        if not each.judged:
            table.add_row(str(number), each.title, f"{each.seconds:g}", *["-"] * 6)
            continue
        table.add_row(
            str(number),
            each.title,
            f"{each.seconds:g}",
            str(each.looks),
            f"{each.requests:.0f}",
            f"{each.canary:.0f}",
            f"{each.longest:.0f}",
            str(each.needed),
            "yes" if each.enough else "[red]no[/red]",
        )
    return table
