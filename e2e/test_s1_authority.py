"""S1: Citadel is an authority whose root everybody has, and that can be replaced without a failed request."""

import subprocess

import pytest
from cryptography import x509

from e2e.conftest import Command
from e2e.load import everywhere
from e2e.security import SYSTEM, identity, peers, root_of, shake
from pytest_mesh import all_ok, eventually
from pytest_mesh.authority import Authority, signed_by
from pytest_mesh.demo import Weather
from pytest_mesh.traffic import PodClient

pytestmark = pytest.mark.behaviour("S1")
PORTS = {"frontend": 3000, "forecast": 3002, "advertisement": 3003, "recommendation": 3005}
SHORT, LONG = 60.0, 200.0


def leaves(weather: Weather, plain: PodClient) -> dict[str, str]:
    """The certificate that each Pod of the demo shows, read from the wire."""
    found = {}
    for app, port in PORTS.items():
        for pod in weather.mesh.pods("weather", app=app):
            found[pod.name] = shake(plain, pod, port).leaf
    return found


def test_the_root_is_in_every_namespace(weather: Weather, plain: PodClient) -> None:
    authority = Authority.of(weather.mesh.api)
    for namespace in ("weather", SYSTEM, "plain", "default"):
        roots = x509.load_pem_x509_certificates(root_of(weather.mesh, namespace).encode())
        assert authority.certificate in roots, namespace
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fresh"}}
    weather.mesh.apply(space, wait=False)
    eventually(lambda: root_of(weather.mesh, "fresh") == root_of(weather.mesh, "weather"))


def test_the_root_is_put_back_when_somebody_spoils_it(weather: Weather) -> None:
    good = root_of(weather.mesh, "weather")
    metadata = {"namespace": "weather", "name": "istio-ca-root-cert"}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    weather.mesh.api.patch(item, {"data": {"root-cert.pem": "spoilt"}})
    eventually(lambda: root_of(weather.mesh, "weather") == good)
    weather.mesh.api.delete(item)
    eventually(lambda: weather.mesh.api.find(item) is not None)
    assert root_of(weather.mesh, "weather") == good


def test_the_authority_is_one_by_the_book(weather: Weather) -> None:
    certificate = Authority.of(weather.mesh.api).certificate
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert usage.crl_sign
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert 3640 < life.days < 3660


def rotate(weather: Weather, plain: PodClient, meshctl: Command, rate: float, around: float = 1) -> None:
    """Replace the root under a stream of requests, on mutual TLS; `around`: seconds before and after."""
    weather.mesh.apply(peers("STRICT"))
    before, old = leaves(weather, plain), Authority.of(weather.mesh.api)
    with everywhere(weather, rate) as loads:
        loads.wait_for(around, rate)
        done: subprocess.CompletedProcess[str] = meshctl("cert", "rotate-root")
        assert done.returncode == 0, done.stdout + done.stderr
        loads.wait_for(around, rate)
    print(loads.check())
    new = Authority.of(weather.mesh.api)
    assert new.pem != old.pem
    for name, leaf in leaves(weather, plain).items():
        assert signed_by(leaf, new.pem), name
        assert before.get(name) != leaf
    assert x509.load_pem_x509_certificates(root_of(weather.mesh, "weather").encode()) == [new.certificate]
    pod = weather.mesh.pods("weather", app="forecast", version="v1")[0]
    assert shake(plain, pod, 3002, new.issue(identity("client"))).taken
    assert not shake(plain, pod, 3002, old.issue(identity("client"))).taken, (
        "the old root is trusted no longer"
    )
    weather.outside.get("/api/weather").check(all_ok())
    weather.mesh.apply(weather.rule("all-v2"))


def test_the_root_is_rotated_under_load_and_no_request_fails(
    weather: Weather, plain: PodClient, meshctl: Command
) -> None:
    rotate(weather, plain, meshctl, SHORT)


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_the_root_is_rotated_under_200_requests_a_second_with_ten_sidecars(
    weather: Weather, plain: PodClient, meshctl: Command
) -> None:
    weather.mesh.scale("weather", "forecast-v1", 5)
    assert sum("istio-proxy" in pod.containers for pod in weather.mesh.pods("weather")) >= 10
    rotate(weather, plain, meshctl, LONG, around=20)
