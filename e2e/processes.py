"""Processes of this machine, as the kernel lists them: who descends from whom, and who is still there."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_mesh.clusters.base import Cluster


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


def running(cluster: Cluster, program: str) -> list[Process]:
    """The processes of a program in an embedded cluster; on another, the test is left out."""
    told = cluster.kubeconfig.parent / "supervisor.json"
    if not told.exists():
        pytest.skip("only an embedded cluster's processes are on this machine")
    everything = family(int(json.loads(told.read_text())["pid"]))
    found = [each for each in everything if runs(each.pid, program)]
    assert found, f"no process of {program} in cluster {cluster.name}"
    return found


def runs(pid: int, program: str) -> bool:
    """Whether a process was started as `program`, or as `python .../program`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return program in [Path(word).name for word in words[:3]]


def signal_all(processes: list[Process], number: int) -> None:
    """Those that are still there get a signal."""
    for pid in alive(processes):
        os.kill(pid, number)


@contextmanager
def frozen(cluster: Cluster, program: str) -> Iterator[None]:
    """A program of an embedded cluster does nothing in the block; its connections stay open."""
    processes = running(cluster, program)
    signal_all(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(processes, signal.SIGCONT)


@contextmanager
def slowed(
    cluster: Cluster, program: str, *, runs_for: float = 0.1, stops_for: float = 0.3
) -> Iterator[None]:
    """A program of an embedded cluster runs only now and then in the block."""
    processes, over = running(cluster, program), threading.Event()

    def hinder() -> None:
        while not over.wait(runs_for):
            signal_all(processes, signal.SIGSTOP)
            over.wait(stops_for)
            signal_all(processes, signal.SIGCONT)

    thread = threading.Thread(target=hinder)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
