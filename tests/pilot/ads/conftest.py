"""Runs coroutine tests, each on an event loop of its own."""

import inspect
import os

import pytest

from tests import loops

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # read when gRPC is imported


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    loops.run(pyfuncitem.obj(**arguments))
    return True
