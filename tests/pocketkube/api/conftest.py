"""Runs coroutine tests, each on an event loop of its own; serves an API for those that come from outside."""

import inspect
from collections.abc import Iterator

import pytest

from tests import loops
from tests.pocketkube.api.rig import Served


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    loops.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API server on 127.0.0.1, with TLS and without nodes or controllers."""
    with Served(tmp_path_factory.mktemp("served")) as server:
        yield server
