"""What several folders of tests stand on."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.pocketkube.api.rig import Served

# The same examples at each run: whoever runs the tests wants to know what a change broke. New ones are drawn
# where they are looked for, with MESHWRIGHT_FUZZ set, as `tox -e deep` does.
settings.register_profile("same", derandomize=True, print_blob=True)
settings.register_profile("new", print_blob=True)
settings.load_profile("new" if "MESHWRIGHT_FUZZ" in os.environ else "same")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API server on 127.0.0.1, with TLS and without nodes or controllers."""
    with Served(tmp_path_factory.mktemp("served")) as server:
        yield server
