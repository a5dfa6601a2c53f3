"""Runs an async function in network, PID and mount namespaces of its own: a proxy's fixed ports are free.

`run(function, folder)` in a test; the function gets the folder and returns something that JSON can hold.
"""

import asyncio
import importlib.util
import json
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Scenario = Callable[[Path], Awaitable[Any]]


def run(function: Scenario, folder: Path) -> Any:
    """The function's result; AssertionError with its traceback and what was printed if it failed."""
    argv = ["unshare", "--net", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child"]
    argv += [sys.executable, "-I", __file__, function.__code__.co_filename, function.__name__, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr or done.stdout
    return json.loads(done.stdout.splitlines()[-1])


async def scenario(path: str, name: str, folder: Path) -> Any:
    specification = importlib.util.spec_from_file_location("scenario", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    async with asyncio.timeout(60):
        return await getattr(module, name)(folder)


def main(path: str, name: str, folder: str) -> None:
    sys.path.insert(0, str(ROOT))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    try:
        print(json.dumps(asyncio.run(scenario(path, name, Path(folder)))))
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
