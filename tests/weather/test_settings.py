"""Settings and command line: what is wrong is named, with what would do."""

import subprocess

import pytest

from tests.weather.conftest import command
from weather.settings import Settings, SettingsError

pytestmark = pytest.mark.behaviour("H2")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PORT": "http"}, "PORT='http' is not a number"),
        ({"ERROR_RATE": "5"}, "ERROR_RATE=5 is out of range"),
        ({"FORECAST_URL": "forecast:3002"}, "FORECAST_URL='forecast:3002' is not an address"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.from_environment("frontend", environment)


def test_defaults_are_those_of_the_demo() -> None:
    settings = Settings.from_environment("frontend", {})
    assert settings.port == 3000
    assert settings.upstreams["forecast"] == "http://forecast:3002"


def test_an_unknown_service_is_refused_without_a_traceback() -> None:
    run = subprocess.run(command("snow"), capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "invalid choice: 'snow'" in run.stderr
    assert "Traceback" not in run.stderr
