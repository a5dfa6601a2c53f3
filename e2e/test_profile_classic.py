"""Smoke on profile classic: one Deployment a component, the operator's own authority, the same behaviours.

A cluster of its own, beside the one of the run. The whole suite on this profile: `--mesh-profile=classic`.
"""

from collections.abc import Iterator

import pytest

from e2e.conftest import EXTRA
from e2e.helpers import split, virtual_service
from e2e.security import (
    SYSTEM,
    authorize,
    identity,
    nothing_crashes,
    one_request_each,
    peers,
    root_of,
    secret,
    shake,
    sources,
)
from pytest_mesh import ApiRefused, NotInForce, all_ok, status, versions
from pytest_mesh.authority import Authority, identity_of
from pytest_mesh.clusters import choose
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh
from pytest_mesh.traffic import PodClient

COMPONENTS = (
    "istio-pilot",
    "istio-citadel",
    "istio-galley",
    "istio-sidecar-injector",
    "istio-policy",
    "istio-telemetry",
)
GATEWAYS = ("istio-ingressgateway", "istio-egressgateway")
OPERATOR = Authority.new("the operator's root")


def cacerts(authority: Authority) -> Obj:
    """The operator's own authority, as Citadel takes it: an intermediate below a root."""
    data = {
        "ca-cert.pem": authority.pem,
        "ca-key.pem": authority.key_pem,
        "root-cert.pem": OPERATOR.pem,
        "cert-chain.pem": authority.pem,
    }
    return {**secret("cacerts", SYSTEM, kind="Opaque"), "stringData": data}


@pytest.fixture(scope="module")
def classic(pytestconfig: pytest.Config) -> Iterator[Weather]:
    """The mesh in profile classic with the operator's authority, and the demo in it."""
    if pytestconfig.getoption("--mesh-cluster") != "embedded":
        pytest.skip("needs a second cluster; give --mesh-profile=classic to test that profile on this one")
    if pytestconfig.getoption("--mesh-profile") == "classic":
        pytest.skip("the whole run is on this profile")
    cluster = choose("embedded", name="test-classic")
    try:
        mesh = Mesh(cluster)
        try:
            mesh.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
            mesh.api.create(cacerts(OPERATOR.intermediate("the operator's intermediate")))
            mesh.install(profile="classic")
            demo = Weather(mesh)
            demo.deploy()
            yield demo
        finally:
            mesh.close()
    finally:
        cluster.stop()


@pytest.mark.behaviour("W1", "W9")
def test_each_component_is_a_deployment_with_an_account_of_its_own(classic: Weather) -> None:
    pods = {pod.labels["app"]: pod for pod in classic.mesh.pods(SYSTEM)}
    assert set(pods) == {*COMPONENTS, *GATEWAYS}
    accounts = {pod.item["spec"]["serviceAccountName"] for pod in pods.values()}
    assert len(accounts) == len(pods)
    classic.outside.get("/api/weather", count=20).check(all_ok())


@pytest.mark.behaviour("S1", "S2", "S5", "W6")
def test_certificates_are_of_the_operators_authority(classic: Weather) -> None:
    mesh = classic.mesh
    assert root_of(mesh, "weather").strip() == OPERATOR.pem.strip()
    with mesh.standing(EXTRA / "plain.yaml"):
        plain = PodClient(mesh.pod("plain", app="client"))
        heard = shake(plain, classic.pod("forecast", "v1"), 3002, ca=OPERATOR.pem)
        assert heard.handshake, heard
        assert identity_of(heard.leaf) == identity("forecast")
        assert len(heard.chain) == 2
        with mesh.undoing():
            mesh.apply(peers("STRICT", SYSTEM))
            (refused,) = plain.get(f"http://{classic.pod('forecast', 'v1').address}:3002/weather")
            assert refused.error
            classic.client.get(classic.forecast, count=5).check(all_ok())


@pytest.mark.behaviour("S7", "X1", "W5", "G2")
def test_rules_and_policies_are_in_force_when_apply_returns(classic: Weather) -> None:
    mesh = classic.mesh
    with mesh.undoing(), nothing_crashes(mesh):
        for version in ("v1", "v2", "v1"):
            mesh.apply(split(**{version: 100}))
            classic.client.get(classic.forecast, count=5).check(all_ok(), versions(version))
        mesh.apply(one_request_each("forecast"))
        mesh.apply(authorize("frontends", "ALLOW", sources(principals=["*/sa/frontend"])))
        classic.client.get(classic.forecast).check(status(403))
        classic.outside.get("/api/weather").check(all_ok())
    classic.client.get(classic.forecast).check(all_ok())


@pytest.mark.behaviour("G1")
def test_what_is_wrong_does_not_get_in(classic: Weather) -> None:
    item = virtual_service("wrong", "forecast", [{"route": [], "timeout": "soon"}])
    with pytest.raises((ApiRefused, NotInForce), match="timeout"):
        classic.mesh.apply(item)
    assert classic.mesh.api.find(item) is None
