"""S2: every account has an identity; its certificate comes by SDS or, the classic way, in a Secret."""

import base64
from datetime import timedelta
from typing import Any

import pytest
import yaml

from e2e.conftest import EXTRA
from e2e.load import everywhere
from e2e.security import SYSTEM, identity, shake, show_volumes
from pytest_mesh import all_ok, eventually
from pytest_mesh.authority import Authority, Pair, identity_of, serial_of, signed_by
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load
from pytest_mesh.pods import Pod
from pytest_mesh.traffic import PodClient

pytestmark = pytest.mark.behaviour("S2")
PORTS = {"frontend": 3000, "forecast": 3002, "advertisement": 3003, "recommendation": 3005}
SECRET_WAY = {"security.istio.io/certificates": "secret"}


def test_every_pod_shows_its_accounts_identity(weather: Weather, plain: PodClient) -> None:
    authority = Authority.of(weather.mesh.api)
    seen = set()
    for app, port in PORTS.items():
        for pod in weather.mesh.pods("weather", app=app):
            leaf = shake(plain, pod, port).leaf
            account = pod.item["spec"]["serviceAccountName"]
            assert identity_of(leaf) == identity(account)
            assert signed_by(leaf, authority.pem)
            certificate = Pair(leaf, "").x509
            life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
            assert timedelta(hours=20) < life < timedelta(hours=25)
            assert certificate.not_valid_after_utc <= authority.certificate.not_valid_after_utc
            seen.add(serial_of(leaf))
    assert len(seen) == sum(len(weather.mesh.pods("weather", app=app)) for app in PORTS), (
        "each Pod has its own"
    )


def test_a_new_account_has_an_identity_at_once(weather: Weather, plain: PodClient) -> None:
    service, deployment = load(EXTRA / "echo.yaml")
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "newcomer", "namespace": "weather"},
    }
    deployment["spec"]["template"]["spec"]["serviceAccountName"] = "newcomer"
    weather.mesh.apply(account)
    weather.mesh.apply(deployment)
    pod = weather.mesh.pod("weather", app="echo")
    assert identity_of(shake(plain, pod, 8080).leaf) == identity("newcomer")
    assert service


def test_the_key_never_leaves_the_pod(weather: Weather) -> None:
    """No file holds it, and no Secret but those of the classic way."""
    pod = weather.client.pod
    found = pod.run(
        "istio-proxy", "sh", "-c", "grep -rls 'PRIVATE KEY' /etc/istio /var/run /run /tmp /etc/certs || true"
    )
    assert found.strip() == ""
    dump = pod.proxy.request("GET", "/config_dump?resource=dynamic_active_secrets")
    assert "PRIVATE KEY" not in dump
    kinds = {
        item["type"] for item in weather.mesh.api.items("Secret", "weather") if "key.pem" in item["data"]
    }
    assert kinds <= {"istio.io/key-and-cert"}


def test_the_agent_tells_how_long_its_certificate_lasts(weather: Weather) -> None:
    text = str(weather.client.pod.request("GET", 15020, "/stats/prometheus"))
    (line,) = [each for each in text.splitlines() if each.startswith("istio_agent_cert_expiry_seconds")]
    assert 3600 < float(line.rsplit(" ", 1)[1]) < 25 * 3600


# The classic way.


def classic_secret(weather: Weather, account: str) -> dict[str, str]:
    """Secret istio.ACCOUNT, decoded."""
    metadata = {"namespace": "weather", "name": f"istio.{account}"}
    found = weather.mesh.api.find({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    assert found is not None, f"there is no Secret istio.{account}"
    assert found["type"] == "istio.io/key-and-cert"
    return {name: base64.b64decode(value).decode() for name, value in found["data"].items()}


def test_each_account_has_a_secret_that_is_repaired_when_it_is_damaged(weather: Weather) -> None:
    authority = Authority.of(weather.mesh.api)
    for account in PORTS:
        data = classic_secret(weather, account)
        assert identity_of(data["cert-chain.pem"]) == identity(account)
        assert signed_by(data["cert-chain.pem"], authority.pem)
        assert "PRIVATE KEY" in data["key.pem"]
    before = classic_secret(weather, "frontend")
    item: Obj = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "weather", "name": "istio.frontend"},
    }  # fmt: skip
    weather.mesh.api.patch(item, {"stringData": {"cert-chain.pem": "spoilt"}})

    def repaired() -> bool:
        return identity_of(classic_secret(weather, "frontend")["cert-chain.pem"]) == identity("frontend")

    eventually(repaired, retry_on=(ValueError,))
    weather.mesh.api.delete(item)
    eventually(lambda: classic_secret(weather, "frontend"))
    after = classic_secret(weather, "frontend")
    assert serial_of(after["cert-chain.pem"]) != serial_of(before["cert-chain.pem"])


def test_a_pod_that_is_annotated_uses_its_secret(weather: Weather, plain: PodClient) -> None:
    mesh = weather.mesh
    (deployment,) = [item for item in load(EXTRA / "echo.yaml") if item["kind"] == "Deployment"]
    deployment["spec"]["template"]["metadata"]["annotations"] = SECRET_WAY
    deployment["spec"]["template"]["spec"]["serviceAccountName"] = "frontend"
    mesh.apply(deployment)
    pod = mesh.pod("weather", app="echo")
    first = shake(plain, pod, 8080).leaf
    assert serial_of(first) == serial_of(classic_secret(weather, "frontend")["cert-chain.pem"])
    mesh.api.delete(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "weather", "name": "istio.frontend"}}
    )
    eventually(lambda: changed(weather, first), 30)
    show_volumes(pod, "another certificate")
    eventually(lambda: shake(plain, pod, 8080).leaf != first, 120)
    assert serial_of(shake(plain, pod, 8080).leaf) == serial_of(
        classic_secret(weather, "frontend")["cert-chain.pem"]
    )


def changed(weather: Weather, first: str) -> bool:
    """Whether Citadel has written the Secret anew, with another certificate."""
    return serial_of(classic_secret(weather, "frontend")["cert-chain.pem"]) != serial_of(first)


# Renewal before the end.


def lasting(seconds: int, replicas: int) -> list[Obj]:
    """The demo's Deployments, with certificates that last so long."""
    config = yaml.safe_dump({"proxyMetadata": {"SECRET_TTL": f"{seconds}s"}})
    items = []
    for item in load(EXTRA.parent / "manifests"):
        if item["kind"] == "Deployment" and item["metadata"]["name"] != "client":
            template: Obj = item["spec"]["template"]
            notes: dict[str, Any] = template["metadata"].setdefault("annotations", {})
            notes["proxy.istio.io/config"] = config
            if item["metadata"]["name"] == "forecast-v1":
                item["spec"]["replicas"] = replicas
            items.append(item)
    return items


def shown_by(plain: PodClient, pods: list[tuple[Pod, int]]) -> dict[str, str]:
    return {pod.name: serial_of(shake(plain, pod, port).leaf) for pod, port in pods}


def all_renewed(plain: PodClient, pods: list[tuple[Pod, int]], *, within: float) -> None:
    """Return when each shows another certificate than now."""
    before = shown_by(plain, pods)
    eventually(lambda: not shown_by(plain, pods).items() & before.items(), within)


def renewed_under_load(
    weather: Weather, plain: PodClient, *, life: int, rate: float, times: int, replicas: int = 1
) -> None:
    """All the demo's certificates end soon; all are renewed so many times while requests go on."""
    mesh = weather.mesh
    mesh.wait_for([written for item in lasting(life, replicas) for written in mesh.apply(item, wait=False)])
    pods = [(pod, port) for app, port in PORTS.items() for pod in mesh.pods("weather", app=app) if pod.ready]
    weather.outside.get("/api/weather").check(all_ok())
    with everywhere(weather, rate) as loads:
        for _ in range(times):
            all_renewed(plain, pods, within=life + 20)
        loads.wait_for(1, rate)
    print(f"{len(pods)} proxies renewed {times} times: {loads.check()}")


def test_certificates_are_renewed_before_they_end_and_no_request_fails(
    weather: Weather, plain: PodClient
) -> None:
    renewed_under_load(weather, plain, life=12, rate=60, times=1)


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_ten_proxies_renew_under_200_requests_a_second(weather: Weather, plain: PodClient) -> None:
    renewed_under_load(weather, plain, life=30, rate=200, times=4, replicas=6)


def test_gateways_have_identities_too(weather: Weather) -> None:
    for name in ("ingressgateway", "egressgateway"):
        pod = weather.mesh.pod(SYSTEM, istio=name)
        dump = pod.proxy.request("GET", "/certs")
        assert f"spiffe://cluster.local/ns/{SYSTEM}/sa/istio-{name}" in dump
