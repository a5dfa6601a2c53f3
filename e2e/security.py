"""What the tests of security share: policies as objects, identities, who answers with which certificate."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pytest_mesh.authority import Authority, Pair
from pytest_mesh.kube import Api, Obj
from pytest_mesh.mesh import Mesh
from pytest_mesh.pods import Pod
from pytest_mesh.responses import Heard
from pytest_mesh.traffic import PodClient

SYSTEM = "istio-system"
TRUST_DOMAIN = "cluster.local"
ALPN = ("istio",)
INSIDE = Path(__file__).parent / "inside"
CITADEL = f"istio-citadel.{SYSTEM}.svc"
PILOT = f"istio-pilot.{SYSTEM}.svc"
FORBIDDEN = "RBAC: access denied"


def identity(account: str, namespace: str = "weather", domain: str = TRUST_DOMAIN) -> str:
    """A workload's name in certificates."""
    return f"spiffe://{domain}/ns/{namespace}/sa/{account}"


def security(kind: str, name: str, namespace: str = "weather", **spec: Any) -> Obj:
    """An object of security.istio.io."""
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def networking(kind: str, name: str, namespace: str = "weather", **spec: Any) -> Obj:
    """An object of networking.istio.io."""
    return {**security(kind, name, namespace, **spec), "apiVersion": "networking.istio.io/v1"}


def peers(
    mode: str, namespace: str = "weather", *, app: str = "", ports: dict[int, str] | None = None
) -> Obj:
    """A PeerAuthentication: for a namespace (istio-system: the mesh), or for one app, and its ports."""
    spec: Obj = {"mtls": {"mode": mode}} if mode else {}
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    if ports:
        spec["portLevelMtls"] = {str(port): {"mode": each} for port, each in ports.items()}
    return security("PeerAuthentication", app or "default", namespace, **spec)


def authorize(name: str, action: str, *rules: Obj, app: str = "forecast", namespace: str = "weather") -> Obj:
    """An AuthorizationPolicy for one app (or, with app "", for the namespace)."""
    spec: Obj = {"action": action, "rules": list(rules)}
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    return security("AuthorizationPolicy", name, namespace, **spec)


def one_request_each(app: str, **policy: Any) -> Obj:
    """A DestinationRule: no connection is used twice; for the demo's rules on forecast, use their subsets."""
    pool = {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}
    host = f"{app}.weather.svc.cluster.local"
    spec: Obj = {"host": host, "trafficPolicy": {**pool, **policy}}
    if app == "forecast":
        spec["subsets"] = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]
    return networking("DestinationRule", app, **spec)


def sources(**source: list[str]) -> Obj:
    """A rule on who calls: `sources(principals=[...])`."""
    return {"from": [{"source": source}]}


def operations(**operation: list[str]) -> Obj:
    """A rule on what is asked for: `operations(paths=[...], methods=[...])`."""
    return {"to": [{"operation": operation}]}


def secret(name: str, namespace: str, *, kind: str = "kubernetes.io/tls", **data: str) -> Obj:
    """A Secret; underscores in names stand for dots."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {key.replace("_", "."): value for key, value in data.items()},
    }


def tls_secret(name: str, namespace: str, pair: Pair, **more: str) -> Obj:
    """A Secret of a certificate."""
    return secret(name, namespace, tls_crt=pair.certificate, tls_key=pair.key, **more)


def shake(client: PodClient, pod: Pod, port: int, pair: Pair | None = None, **more: Any) -> Heard:
    """A handshake with a Pod's sidecar, as another sidecar would do it; by default without a certificate."""
    shown = pair.tls() if pair else {}
    return client.handshake(f"{pod.address}:{port}", **{"alpn": ALPN, **shown, **more})


def run_inside(pod: Pod, program: str, **wish: Any) -> Obj:
    """Run a program of `e2e/inside` in a Pod's istio-proxy container, beside the interception; its JSON.

    It is told whom to trust: after a rotation, a kubelet takes its time to show the Pod the new root.
    """
    text = (INSIDE / f"{program}.py").read_text()
    asked = {"root": root_in(pod.api, pod.namespace), **wish}
    told: Obj = json.loads(pod.run("istio-proxy", "python", "-c", text, json.dumps(asked)))
    return told


def root_of(mesh: Mesh, namespace: str) -> str:
    """The root certificates that a namespace is given."""
    return root_in(mesh.api, namespace)


def root_in(api: Api, namespace: str) -> str:
    """The same, of an API server."""
    metadata = {"namespace": namespace, "name": "istio-ca-root-cert"}
    found = api.find({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    assert found is not None, f"namespace {namespace} has no ConfigMap istio-ca-root-cert"
    return str(found["data"]["root-cert.pem"])


def restarts(mesh: Mesh, *namespaces: str) -> dict[str, int]:
    """How often each container was restarted, by Pod and name; without namespaces, of the control plane."""
    return {
        f"{pod.id}/{each['name']}": each["restartCount"]
        for namespace in namespaces or (SYSTEM,)
        for pod in mesh.pods(namespace)
        for each in pod.item["status"].get("containerStatuses", ())
    }


@contextmanager
def nothing_crashes(mesh: Mesh) -> Iterator[None]:
    """Neither the control plane nor a sidecar of the demo is restarted or replaced in the block."""
    before = restarts(mesh, SYSTEM, "weather")
    yield
    after = restarts(mesh, SYSTEM, "weather")
    assert {name: after.get(name) for name in before} == before


def foreign(domain: str = "other.domain", account: str = "client") -> Pair:
    """A certificate of another trust domain's authority."""
    return Authority.new(f"the root of {domain}").issue(identity(account, domain=domain))


@contextmanager
def mesh_settings(mesh: Mesh, **changes: Any) -> Iterator[None]:
    """Other settings of the mesh (ConfigMap istio) in the block. Nothing tells when Pilot has read them."""
    metadata = {"namespace": SYSTEM, "name": "istio"}
    item: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    found = mesh.api.find(item)
    assert found is not None, "the mesh has no ConfigMap istio"
    before = found["data"]["mesh"]
    changed = yaml.safe_dump({**yaml.safe_load(before), **changes})
    write_settings(mesh, item, changed, "changed")
    try:
        yield
    finally:
        write_settings(mesh, item, before, None)


def write_settings(mesh: Mesh, item: Obj, text: str, note: str | None) -> None:
    """Write them, and have them shown at once to the Pods that read them."""
    mesh.api.patch(item, {"data": {"mesh": text}})
    for pod in mesh.pods(SYSTEM):
        if pod.labels.get("istio") in {"pilot", "mixer", "sidecar-injector"}:
            show_volumes(pod, note)


def show_volumes(pod: Pod, note: str | None) -> None:
    """Bring a Pod's ConfigMaps and Secrets up to date. A kubelet does it at once for a Pod that changes, here
    by a note on it (None takes it away), and for others within two minutes.
    """
    pod.api.patch(pod.item, {"metadata": {"annotations": {"test.meshwright.dev/volumes": note}}})
