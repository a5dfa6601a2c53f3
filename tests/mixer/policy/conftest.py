"""The probe is installed for all tests here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mixer.probe import installed


@pytest.fixture(autouse=True)
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the package with the probe is."""
    folder = tmp_path_factory.mktemp("package")
    with installed(folder):
        yield folder
