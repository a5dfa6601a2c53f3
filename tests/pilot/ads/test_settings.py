"""The mesh's settings follow their file; what is wrong leaves the last good ones in force."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mesh.api.errors import ConfigError
from mesh.pilot.settings import Settings

pytestmark = pytest.mark.behaviour("X3")


def test_without_a_file_the_defaults_hold() -> None:
    settings = Settings(None)
    assert settings.current.outbound_traffic_policy.mode == "ALLOW_ANY"
    assert not settings.look()


def test_a_change_of_the_file_is_seen_once(tmp_path: Path) -> None:
    file = tmp_path / "mesh"
    file.write_text("accessLogFile: /dev/stdout\n")
    settings = Settings(file)
    assert not settings.look()
    file.write_text("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n")
    assert settings.look()
    assert settings.current.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert not settings.look()


def test_a_change_that_means_the_same_is_none(tmp_path: Path) -> None:
    file = tmp_path / "mesh"
    file.write_text("accessLogFile: /dev/stdout\n")
    settings = Settings(file)
    file.write_text("# the log\naccessLogFile: /dev/stdout\n")
    assert not settings.look()


def test_what_is_wrong_leaves_the_last_good_ones(tmp_path: Path) -> None:
    file = tmp_path / "mesh"
    file.write_text("accessLogFile: /dev/stdout\n")
    settings = Settings(file)
    for wrong in (b"accesLogFile: x\n", b"a: [\n", b"\xff\xfe\x00"):
        file.write_bytes(wrong)
        assert not settings.look()
        assert settings.current.access_log_file == "/dev/stdout"
        assert settings.problem
    file.unlink()
    assert not settings.look()
    file.write_text("accessLogFile: ''\n")
    assert settings.look()
    assert settings.problem is None


def test_a_file_that_is_wrong_at_the_start_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "mesh"
    file.write_text("outboundTrafficPolicy: {mode: MAYBE}\n")
    with pytest.raises(ConfigError, match="outboundTrafficPolicy"):
        Settings(file)


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    file = tmp_path / "mesh"
    file.write_text("accessLogFile: /dev/stdout\n")
    settings = Settings(file)
    file.write_text("enablePrometheusMerge: true\n")
    with capture_logs() as lines:
        settings.look()
    (warning,) = (each for each in lines if each["log_level"] == "warning")
    assert "data.mesh.enablePrometheusMerge: is not used by this mesh" in warning["reason"]
