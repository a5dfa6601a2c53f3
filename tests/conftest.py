"""What several folders of tests stand on."""

from collections.abc import Iterator

import pytest

from tests.pocketkube.api.rig import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API server on 127.0.0.1, with TLS and without nodes or controllers."""
    with Served(tmp_path_factory.mktemp("served")) as server:
        yield server
