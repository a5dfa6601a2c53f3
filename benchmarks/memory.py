"""How much memory a running demo takes, by program: proportional set size (shared pages count once)."""

from collections import defaultdict
from pathlib import Path


def measure(supervisor: int) -> dict[str, float]:
    """Megabytes by program of all processes below the supervisor's pid, and their `total`."""
    found: dict[str, float] = defaultdict(float)
    for pid in descendants(supervisor):
        try:
            found[program(pid)] += proportional(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    ordered = sorted(found.items(), key=lambda entry: -entry[1])
    return dict(ordered) | {"total": sum(found.values())}


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(below for child in children for below in descendants(child))]


def program(pid: int) -> str:
    """The name under which a process is counted: its script or module, with the first argument."""
    words = [word for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0") if word]
    if not words:
        return "kernel"
    if "-c" in words:
        return "pocketkube launcher"
    if "-m" in words:
        return words[words.index("-m") + 1]
    names = [Path(word).name for word in words if not word.startswith("-")]
    return next((name for name in names if not name.startswith("python")), names[0])


def proportional(pid: int) -> float:
    """A process's proportional set size in megabytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
