"""Where a Pod finds what proves its identity."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mesh.agent.environment import EnvironmentProblem, Pod
from mesh.agent.identity.certificates import identity_of
from mesh.agent.identity.settings import IdentitySettings

pytestmark = pytest.mark.behaviour("S2")


def pod(**annotations: str) -> Pod:
    return Pod("frontend", "weather", "198.18.0.7", "frontend", annotations=annotations)


def read(**environment: str) -> IdentitySettings:
    return IdentitySettings.read(environment, pod())


def test_defaults_are_where_the_injector_mounts() -> None:
    found = read()
    assert found == IdentitySettings()
    assert found.citadel == "istio-citadel.istio-system.svc:8060"
    assert found.citadel_mutual == "istio-citadel.istio-system.svc:8061"
    assert str(found.token) == "/var/run/secrets/tokens/istio-token"
    assert str(found.root) == "/var/run/secrets/istio/root-cert.pem"
    assert str(found.socket) == "/var/run/secrets/workload-spiffe-uds/socket"
    assert (found.mounted, found.lifetime, found.algorithm) == (None, timedelta(days=1), "ecdsa-p256")


def test_istios_variables() -> None:
    found = read(
        CA_ADDR="ca.example:9000",
        TRUST_DOMAIN="example.org",
        SECRET_TTL="90m",
        WORKLOAD_RSA_KEY_SIZE="3072",
        CA_ROOT_CA="/root.pem",
    )
    assert (found.citadel, found.citadel_mutual) == ("ca.example:9000", "ca.example:8061")
    assert (found.lifetime, found.algorithm) == (timedelta(minutes=90), "rsa-3072")
    assert found.root == Path("/root.pem")
    assert str(identity_of(found, pod())) == "spiffe://example.org/ns/weather/sa/frontend"


def test_mounted_certificates_by_annotation_or_variable() -> None:
    annotated = pod(**{"security.istio.io/certificates": "secret"})
    for found in (IdentitySettings.read({}, annotated), read(FILE_MOUNTED_CERTS="true")):
        assert (found.mounted, found.root) == (Path("/etc/certs"), Path("/etc/certs/root-cert.pem"))
    assert read(FILE_MOUNTED_CERTS="false").mounted is None


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CA_ADDR": "citadel"}, "CA_ADDR 'citadel': expected host:port"),
        ({"CA_ADDR": "citadel:99999"}, "CA_ADDR"),
        ({"CA_MUTUAL_ADDR": "x:y"}, "CA_MUTUAL_ADDR"),
        ({"SECRET_TTL": "a day"}, "SECRET_TTL: 'a day' is not a duration"),
        ({"SECRET_TTL": "0s"}, "1s at least"),
        ({"WORKLOAD_RSA_KEY_SIZE": "1024"}, "one of 2048, 3072, 4096"),
    ],
)
def test_what_makes_no_sense_is_named(environment: dict[str, str], words: str) -> None:
    with pytest.raises(EnvironmentProblem) as raised:
        read(**environment)
    assert words in str(raised.value)


def test_names_that_make_no_identity_are_named() -> None:
    settings: Any = IdentitySettings(trust_domain="Not A Domain")
    with pytest.raises(EnvironmentProblem, match="TRUST_DOMAIN"):
        identity_of(settings, pod())
