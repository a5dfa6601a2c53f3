"""Runs an async function as the first process of namespaces like the cluster's, with the node's real parts.

`run(function, folder)` in a test; the function gets a `Node` and returns something JSON can hold.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketkube import namespaces
from pocketkube.network import base, rules
from pocketkube.network.tables import Tables
from pocketkube.node.launch import kernel
from pocketkube.node.reaper import Reaper
from pocketkube.node.rootfs import Machine
from pocketkube.node.runtime import Runtime
from pocketkube.state import State


@dataclass(frozen=True)
class Node:
    """What the kubelet works with."""

    reaper: Reaper
    runtime: Runtime
    machine: Machine
    state: State


Scenario = Callable[[Node], Awaitable[Any]]


def run(function: Scenario, folder: Path) -> Any:
    """The function's result; AssertionError with its traceback if it failed."""
    argv = [sys.executable, "-I", __file__, function.__code__.co_filename, function.__name__, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr or done.stdout
    return json.loads(done.stdout.splitlines()[-1])


def main(path: str, name: str, folder: str) -> None:
    if os.getpid() != 1:
        argv = [sys.executable, "-I", __file__, path, name, folder]
        pid = namespaces.start(argv, pass_fds=[], environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    try:
        print(json.dumps(asyncio.run(_scenario(_load(path, name), State(Path(folder, "cluster"))))))
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def _load(path: str, name: str) -> Scenario:
    sys.path.insert(0, str(Path(path).parent))
    specification = importlib.util.spec_from_file_location("scenario", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["scenario"] = module
    specification.loader.exec_module(module)
    scenario: Scenario = getattr(module, name)
    return scenario


async def _scenario(function: Scenario, state: State) -> Any:
    state.run.mkdir(parents=True)
    kernel.mount("test", str(state.run), "tmpfs", 0, "mode=755")
    state.root.mkdir()
    base.prepare()
    reaper = Reaper()
    await Tables(reaper, state.run / "xtables.lock").restore(rules.render([]))
    node = Node(reaper, Runtime(reaper), Machine.here(state.folder), state)
    async with asyncio.timeout(30):
        return await function(node)


if __name__ == "__main__":
    main(*sys.argv[1:])
