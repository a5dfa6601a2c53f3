"""What verbs print: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

COLOURS = {
    "SYNCED": "green",
    "STALE": "yellow",
    "NACK": "red",
    "NOT_SENT": "dim",
    "Running": "green",
    "True": "green",
}


def print_json(value: Any) -> None:
    """Print a value as indented JSON on standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows in aligned columns; states in colour on a terminal, never cut off in a pipe."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(str(cell), style=COLOURS.get(str(cell), "")) for cell in row))
    console = Console(soft_wrap=True)
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(width=1000, color_system=None)
    with wide.capture() as captured:
        wide.print(table)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
