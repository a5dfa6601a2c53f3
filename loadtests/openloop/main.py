"""`python -m loadtests.openloop`: requests by schedule to one target, in a process of its own."""

import asyncio
import os
import sys
from typing import Annotated, NoReturn

import typer

from loadtests.openloop.driver import GRACE, LATE_AFTER
from loadtests.openloop.http import Label, Target, TargetError
from loadtests.openloop.lines import AnyLine
from loadtests.openloop.run import Plan, Run
from loadtests.openloop.schedule import ScheduleError, parsed
from loadtests.openloop.show import Show
from loadtests.openloop.tally import Part

TargetArgument = Annotated[str, typer.Argument(metavar="URL", help="What to ask. Nothing else is asked.")]
ScheduleOption = Annotated[
    str,
    typer.Option(
        "--schedule",
        "-s",
        help="Arrivals, in requests/s: constant:RATE, poisson:RATE, ramp:FIRST,LAST, step:RATE,RATE,...",
    ),
]
DurationOption = Annotated[
    float,
    typer.Option("--duration", "-d", min=0, help="Seconds that the schedule lasts; 0: until it is stopped."),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        help="Requests that may be under way at once. What is due above is dropped, counted.",
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        "--label", help="Who answered, as the answer tells: header:NAME, or json:FIELD.FIELD of its body."
    ),
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", metavar="NAME: VALUE", help="Of each request; repeatable."),
]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def command(
    url: TargetArgument,
    schedule: ScheduleOption = "constant:10",
    duration: DurationOption = 10.0,
    workers: WorkersOption = 500,
    label: LabelOption = None,
    header: HeaderOption = None,
    method: Annotated[str, typer.Option("--method", "-X", help="Of each request.")] = "GET",
    body: Annotated[str, typer.Option("--body", help="Of each request.")] = "",
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds for an answer.")] = 10.0,
    window: Annotated[float, typer.Option("--window", min=0.05, help="Seconds of one line.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Of Poisson's chance: the same gives the same.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="A new connection for each request.")] = False,
    late_after: Annotated[
        float, typer.Option("--late-after", min=0, help="Seconds after its due time that a request is late.")
    ] = LATE_AFTER,
    grace: Annotated[
        float, typer.Option("--grace", min=0, help="Seconds to wait at the end for what is under way.")
    ] = GRACE,
    lines: Annotated[
        bool | None,
        typer.Option("--lines/--no-lines", help="JSON lines on stdout; by default unless it is a terminal."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing for people on stderr.")] = False,
) -> None:
    """Send requests when they are due, whether or not earlier ones were answered (an open loop).

    Response time counts from when a request was due, so a stall is seen by all that were due in it; service
    time counts from when it was sent. SIGTERM and Ctrl-C stop it: what is under way is waited for (a second
    signal: not), and the last line says what came of the run. Exits with 0 then too, with 2 for wrong usage.
    """
    try:
        target = Target(
            url=url,
            method=method.upper(),
            headers=dict(map(split_header, header or ())),
            body=body.encode(),
            timeout=timeout,
            label=Label.parsed(label) if label else None,
            fresh=fresh,
        )
        due = parsed(schedule, duration or None, seed)
    except (TargetError, ScheduleError) as error:
        wrong_usage(str(error))
    plan = Plan(target, due, workers, window, late_after, grace)
    output = Output(lines=not sys.stdout.isatty() if lines is None else lines, show=None if quiet else Show())
    try:
        good = asyncio.run(Run(plan, output).go())
    except BrokenPipeError:
        good = False
        # What is left in the buffer would be written once more at the end, and fail again (exit code 120).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write("the reader of the lines is gone: nothing more is sent\n")
    if not good:
        raise typer.Exit(1)


class Output:
    """Lines to stdout and words to stderr, in a thread: a slow reader must not hold up the sending."""

    def __init__(self, *, lines: bool, show: Show | None) -> None:
        self._lines = lines
        self._show = show

    async def __call__(self, line: AnyLine, whole: Part | None) -> None:
        """Write one line; raises BrokenPipeError if nobody reads any more."""
        await asyncio.to_thread(self._write, line)
        if self._show:
            self._show(line, whole)

    def _write(self, line: AnyLine) -> None:
        if self._lines:
            sys.stdout.write(f"{line.text()}\n")
            sys.stdout.flush()


def split_header(text: str) -> tuple[str, str]:
    """Name and value of `Name: value`; raises TargetError."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise TargetError(f"header {text!r} is none: write 'NAME: VALUE'")
    return name.strip(), value.strip()


def wrong_usage(message: str) -> NoReturn:
    """Say it and exit with 2."""
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2)


def main() -> None:
    """Entry point."""
    app(prog_name="python -m loadtests.openloop")


if __name__ == "__main__":
    main()
