"""Processes of this machine, as the kernel lists them: who descends from whom, and who is still there."""

from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process; with its start (in ticks since boot) it is told from a later one of the same number."""

    pid: int
    parent: int
    started: int


def family(pid: int) -> list[Process]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := process_of(int(entry.name))):
            children.setdefault(found.parent, []).append(found.pid)
    found_all, waiting = [], [pid]
    while waiting:
        if found := process_of(waiting.pop()):
            found_all.append(found)
            waiting += children.get(found.pid, [])
    return found_all


def process_of(pid: int) -> Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else Process(pid, int(fields[1]), int(fields[19]))


def alive(processes: list[Process]) -> list[int]:
    """Those that still run; a number that another process has got since does not count."""
    now = ((each, process_of(each.pid)) for each in processes)
    return [each.pid for each, found in now if found and found.started == each.started]
