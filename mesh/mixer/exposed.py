"""What running handlers show of themselves to others: metrics for Prometheus, ledgers as CSV.

Told by methods, not by class: adapters of other packages may have them too.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of `scraped`: Prometheus' text format."""


@runtime_checkable
class Exposes(Protocol):
    """An adapter with metrics that rules count."""

    def exposition(self) -> str:
        """All metrics, in Prometheus' text format."""
        ...


@runtime_checkable
class Bills(Protocol):
    """An adapter with a ledger."""

    async def ledger(self) -> Sequence[Mapping[str, str | int]]:
        """Its rows, after all that has been reported was written."""
        ...


def scraped(adapters: Iterable[Any]) -> str:
    """The metrics of all running handlers."""
    return "".join(each.exposition() for each in adapters if isinstance(each, Exposes))


COLUMNS = ("handler", "period", "start", "consumer", "requests", "bytes")


async def billed(adapters: Iterable[Any]) -> str:
    """The ledgers of all running handlers as CSV, with a line of names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in adapters:
        if isinstance(each, Bills):
            writer.writerows(await each.ledger())
    return text.getvalue()
