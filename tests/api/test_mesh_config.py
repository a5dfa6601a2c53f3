"""T7: the mesh's own settings."""

import pytest

from mesh.api.errors import ConfigError
from mesh.api.meshconfig import MeshConfig

pytestmark = pytest.mark.behaviour("T7")


def test_what_is_not_said_has_istios_default() -> None:
    config = MeshConfig.from_yaml("")
    assert (config.root_namespace, config.outbound_traffic_policy.mode) == ("istio-system", "ALLOW_ANY")
    assert config.connect_timeout == 10


def test_istios_names_are_read() -> None:
    config = MeshConfig.from_yaml(
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\naccessLogFile: /dev/stdout\nconnectTimeout: 2s"
    )
    assert config.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert (config.access_log_file, config.connect_timeout) == ("/dev/stdout", 2)


@pytest.mark.parametrize("text", ["outboundTrafficPolicy: {mode: NONE}", "trustDomains: x", "a: ["])
def test_a_wrong_setting_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="istio-system/istio"):
        MeshConfig.from_yaml(text)
