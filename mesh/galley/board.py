"""What the Pilots have reported of each object, added up over all of them."""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.model import ObjectKey


@dataclass(frozen=True, slots=True)
class Report:
    """So many proxies does an object concern, so many of them use it; why others refuse it."""

    version: str = ""
    proxies: int = 0
    acked: int = 0
    errors: tuple[str, ...] = ()


class Board:
    """Reports by object and reporter. Subscribers hear of each object whose sum may differ."""

    def __init__(self) -> None:
        self._reports: dict[ObjectKey, dict[str, Report]] = {}
        self._subscribers: list[Callable[[ObjectKey], None]] = []

    def __repr__(self) -> str:
        return f"<Board of {len(self._reports)} objects>"

    def sum(self, key: ObjectKey) -> Report | None:
        """What all reporters together say of an object; None if nobody has said anything."""
        reports = self._reports.get(key)
        if not reports:
            return None
        every = [reports[name] for name in sorted(reports)]
        return Report(
            max((each.version for each in every), key=_order),
            sum(each.proxies for each in every),
            sum(each.acked for each in every),
            tuple(dict.fromkeys(error for each in every for error in each.errors)),
        )

    def subscribe(self, changed: Callable[[ObjectKey], None]) -> None:
        """Call `changed` with each object of which something else is said now."""
        self._subscribers.append(changed)

    def _changed(self, key: ObjectKey) -> None:
        for subscriber in self._subscribers:
            subscriber(key)

    def report(self, reporter: str, key: ObjectKey, report: Report) -> None:
        """Take a report in the place of an earlier one."""
        before = self._reports.setdefault(key, {})
        if before.get(reporter) != report:
            before[reporter] = report
            self._changed(key)

    def forget(self, key: ObjectKey) -> None:
        """The object is gone."""
        self._reports.pop(key, None)

    def leave(self, reporter: str) -> None:
        """A reporter is gone, and its proxies are others' now."""
        for key, reports in tuple(self._reports.items()):
            if reports.pop(reporter, None) is not None:
                self._changed(key)
            if not reports:
                self._reports.pop(key)


def _order(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() else 0, version)


class Sink:
    """One reporter's `StatusSink`."""

    def __init__(self, board: Board, reporter: str) -> None:
        self._board = board
        self._reporter = reporter

    def report(
        self, key: ObjectKey, resource_version: str, *, proxies: int, acked: int, errors: tuple[str, ...]
    ) -> None:
        """At that version an object concerns so many proxies, of which so many use it."""
        self._board.report(self._reporter, key, Report(resource_version, proxies, acked, errors))
