"""Installation into a real API server: complete, repeatable, and taken away without harm to others."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kubernetes import config

from mesh.install.apply import InstallFailed, install, installed_profile, uninstall
from mesh.install.manifests import render
from mesh.install.server import Server, path_of
from pocketkube.api.api import Api
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("H1")

DEPLOYMENTS = (
    "istio-pilot", "istio-policy", "istio-telemetry", "istio-ingressgateway", "istio-egressgateway"
)  # fmt: skip
HOOKS = "/apis/admissionregistration.k8s.io/v1"
WEBHOOK = f"{HOOKS}/mutatingwebhookconfigurations/istio-sidecar-injector"
GATE = f"{HOOKS}/validatingwebhookconfigurations/istio-galley"
RULE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "mine", "namespace": "default"},
    "spec": {"host": "forecast"},
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Served]:
    """An API server of the test's own."""
    with Served(tmp_path) as server:
        yield server


@pytest.fixture
def client(cluster: Served) -> Iterator[Any]:
    client = connect(cluster.kubeconfig)
    yield client
    client.close()


def connect(kubeconfig: Path) -> Any:
    make: Any = config.new_client_from_config  # the library's own annotations stop here
    return make(str(kubeconfig))


@contextmanager
def deployments_that_come_up(cluster: Served) -> Iterator[None]:
    """Says of every Deployment that it is available: what controllers and nodes would find."""
    task: asyncio.Task[None] = cluster.run(started(say_available(cluster.api)))
    try:
        yield
    finally:
        cluster.run(ended(task))


async def started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def say_available(api: Api) -> None:
    everything, revision = api.list("deployments.apps")
    assert not everything
    async for event in api.watch("deployments.apps", since=revision):
        metadata, status = event.object["metadata"], event.object.get("status") or {}
        if event.type != "DELETED" and status.get("observedGeneration") != metadata["generation"]:
            counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 1)
            patch = {"status": {"observedGeneration": metadata["generation"], **counts}}
            await api.patch(
                "deployments.apps", metadata["name"], metadata["namespace"], patch, subresource="status"
            )


def versions(client: Any, objects: list[Any]) -> dict[str, Any]:
    """Each object's path and its resourceVersion; None for one that is not there."""
    server = Server(client)
    found = {path_of(obj): server.get(path_of(obj)) for obj in objects}
    return {path: obj and obj["metadata"]["resourceVersion"] for path, obj in found.items()}


def test_all_is_there_afterwards_and_a_second_time_changes_nothing(cluster: Served, client: Any) -> None:
    said: list[str] = []
    with deployments_that_come_up(cluster):
        install(client, render(), progress=said.append)
        once = versions(client, render())
        install(client, render())
    assert all(once.values())
    assert versions(client, render()) == once
    assert said[0] == f"applying {len(render())} objects"
    assert sorted(said[1:]) == sorted(f"{name} is ready" for name in DEPLOYMENTS)


def test_an_upgrade_leaves_to_citadel_whom_webhooks_are_trusted_by(cluster: Served, client: Any) -> None:
    server = Server(client)
    with deployments_that_come_up(cluster):
        install(client, render())
        patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "Zm91bmQ="}]
        server.request("PATCH", WEBHOOK, body=patch, content_type="application/json-patch+json")
        install(client, render())
    found = server.get(WEBHOOK)
    assert found and found["webhooks"][0]["clientConfig"]["caBundle"] == "Zm91bmQ="


def test_from_one_profile_to_the_other(cluster: Served, client: Any) -> None:
    with deployments_that_come_up(cluster):
        assert installed_profile(client) == "compact"
        install(client, render("compact"))
        install(client, render("classic"))
        assert installed_profile(client) == "classic"
        assert all(versions(client, render("classic")).values())
        install(client, render("compact"))
    assert installed_profile(client) == "compact"
    found = versions(client, render("classic"))
    assert {path for path, version in found.items() if version} == set(versions(client, render("compact")))


def test_uninstall_removes_what_install_brought_and_nothing_else(cluster: Served, client: Any) -> None:
    with deployments_that_come_up(cluster):
        install(client, render())
    server = Server(client)
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "namespace": "default"}}
    server.apply(mine)
    made = citadels_objects()
    for obj in made:
        server.apply(obj)
    uninstall(client, render())
    assert not any(server.get(path_of(obj)) for obj in made)
    # A namespace goes when its controller has emptied it; here is none.
    left = {path for path, version in versions(client, render()).items() if version}
    assert left <= {"/api/v1/namespaces/istio-system"}
    assert server.get(path_of(mine))
    uninstall(client, render())


def citadels_objects() -> list[Any]:
    """What Citadel leaves in namespaces of others."""
    root = {
        "metadata": {
            "name": "istio-ca-root-cert",
            "namespace": "default",
            "labels": {"istio.io/config": "true"},
        },
        "data": {"root-cert.pem": "x"},
    }
    keys = {"metadata": {"name": "istio.default", "namespace": "default"}, "type": "istio.io/key-and-cert"}
    return [{"apiVersion": "v1", "kind": "ConfigMap", **root}, {"apiVersion": "v1", "kind": "Secret", **keys}]


def test_the_operators_own_authority_outlives_the_mesh(cluster: Served, client: Any) -> None:
    server, said = Server(client), list[str]()
    with deployments_that_come_up(cluster):
        install(client, render())
    made = citadels_state()
    for obj in made:
        server.apply(obj)
    theirs = in_system("Secret", "cacerts")
    server.apply(theirs)
    uninstall(client, render(), progress=said.append)
    assert server.get(path_of(theirs))
    assert "Namespace istio-system stays: it holds Secret cacerts" in said
    assert not any(server.get(path_of(obj)) for obj in made)


def citadels_state() -> list[Any]:
    """What Citadel keeps in its own namespace."""
    state = [
        in_system("Secret", "istio-ca-secret"),
        *(in_system("ConfigMap", name) for name in ("istio-trust", "istio-revocations", "istio-ledger-1")),
    ]
    state[-1]["metadata"]["labels"] = {"trust.istio.io/ledger": "true"}
    return state


def in_system(kind: str, name: str) -> Any:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "istio-system"}}


def test_a_control_plane_that_does_not_end_is_named(cluster: Served, client: Any) -> None:
    with deployments_that_come_up(cluster):
        install(client, render())
    cluster.run(stuck_pilot(cluster))
    with pytest.raises(InstallFailed, match=r"still there after 0\.1 s: Pod istio-pilot-1"):
        uninstall(client, render(), timeout=0.1)


def test_rules_of_users_outlive_the_mesh(cluster: Served, client: Any) -> None:
    said: list[str] = []
    with deployments_that_come_up(cluster):
        install(client, render())
    server = Server(client)
    server.delete(GATE)  # there is no Galley here that could be asked
    server.apply(RULE)
    uninstall(client, render(), progress=said.append)
    assert server.get(path_of(RULE))
    assert "CustomResourceDefinition destinationrules.networking.istio.io stays: it has objects" in said
    assert "deleting CustomResourceDefinition gateways.networking.istio.io" in said


def test_an_object_of_someone_else_by_the_same_name_is_not_deleted(cluster: Served, client: Any) -> None:
    priority = next(obj for obj in render() if obj["kind"] == "PriorityClass")
    theirs = {**priority, "metadata": {"name": priority["metadata"]["name"]}}
    Server(client).apply(theirs)
    uninstall(client, render())
    assert Server(client).get(path_of(theirs))


def test_what_is_still_being_deleted_is_waited_for(cluster: Served, client: Any) -> None:
    server, said = Server(client), list[str]()
    path = "/api/v1/namespaces/istio-system"
    with deployments_that_come_up(cluster):
        install(client, render())
        uninstall(client, render())
        before = server.get(path)
        assert before is not None
        assert "deletionTimestamp" in before["metadata"]  # here is no controller that empties it

        def say(line: str) -> None:
            said.append(line)
            if line == f"waiting until {path} of before is gone":
                emptied = {**before, "spec": {"finalizers": []}}
                server.request("PUT", f"{path}/finalize", body=emptied)

        install(client, render(), progress=say)
    assert f"waiting until {path} of before is gone" in said
    after = server.get(path)
    assert after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_what_is_never_deleted_is_named(cluster: Served, client: Any) -> None:
    path = "/api/v1/namespaces/istio-system"
    with deployments_that_come_up(cluster):
        install(client, render())
    uninstall(client, render())
    with pytest.raises(InstallFailed, match=f"{path} is still being deleted after 0.1 s") as caught:
        install(client, render(), timeout=0.1)
    assert caught.value.remedy.startswith(f"see 'kubectl get --raw {path}'")


def test_what_does_not_come_up_is_explained(cluster: Served, client: Any) -> None:
    cluster.run(cluster.api.create("namespaces", {"metadata": {"name": "istio-system"}}))
    cluster.run(stuck_pilot(cluster))
    with pytest.raises(InstallFailed) as caught:
        install(client, render(), timeout=0.1)
    words = str(caught.value)
    assert "istio-pilot (Pod istio-pilot-1: container discovery: ErrImagePull no such image)" in words
    assert "istio-egressgateway (it has no Pods)" in words
    assert caught.value.remedy == "see 'kubectl -n istio-system describe pods'"


async def stuck_pilot(cluster: Served) -> None:
    """A Pod of Pilot's that waits for its image."""
    api = cluster.api
    await api.create("serviceaccounts", {"metadata": {"name": "default"}}, "istio-system")
    pod = {
        "metadata": {"name": "istio-pilot-1", "labels": {"app": "istio-pilot"}},
        "spec": {"containers": [{"name": "discovery", "image": "x"}]},
    }
    await api.create("pods", pod, "istio-system")
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    status = {
        "name": "discovery", "ready": False, "restartCount": 0, "image": "x", "imageID": "", "state": waiting,
    }  # fmt: skip
    patch = {"status": {"containerStatuses": [status]}}
    await api.patch("pods", "istio-pilot-1", "istio-system", patch, subresource="status")


def test_a_refusal_is_passed_on_in_the_api_servers_words(client: Any) -> None:
    deployment = next(obj for obj in render() if obj["kind"] == "Deployment")
    with pytest.raises(InstallFailed, match=r'namespaces "istio-system" not found \(404\)'):
        install(client, [deployment])


def test_an_api_server_that_is_not_there_is_named(cluster: Served) -> None:
    path = cluster.folder / "wrong"
    path.write_text(cluster.kubeconfig.read_text().replace(cluster.url, "https://127.0.0.1:1"))
    client = connect(path)
    with pytest.raises(InstallFailed, match=r"https://127.0.0.1:1 does not answer: .*refused") as caught:
        install(client, render())
    assert "is the cluster running?" in caught.value.remedy
