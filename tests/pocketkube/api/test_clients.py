"""The official Python clients against the served API: synchronous, asynchronous, dynamic."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import kubernetes
import kubernetes.dynamic
import pytest
from kubernetes.client.exceptions import ApiException

from tests import loops
from tests.pocketkube.api.rig import Served, config_map, definition, deployment, pod, service

client: Any = kubernetes.client
config: Any = kubernetes.config
dynamic: Any = kubernetes.dynamic
watch: Any = kubernetes.watch
pytestmark = pytest.mark.behaviour("H1")


@contextmanager
def opened(made: Any) -> Iterator[Any]:
    """A client whose connections are closed at the end; it would leave them to the garbage collector."""
    with made:
        try:
            yield made
        finally:
            made.rest_client.pool_manager.clear()


@pytest.fixture
def connection(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with opened(config.new_client_from_config(str(served.kubeconfig))) as made:
        yield made


def test_typed_objects(served: Served, connection: Any) -> None:
    namespace = served.namespace()
    core, apps = client.CoreV1Api(connection), client.AppsV1Api(connection)
    core.create_namespaced_config_map(namespace, config_map(a="1"))
    assert core.read_namespaced_config_map("c", namespace).data == {"a": "1"}
    core.patch_namespaced_config_map("c", namespace, {"data": {"b": "2"}})
    assert core.read_namespaced_config_map("c", namespace).data == {"a": "1", "b": "2"}
    made = apps.create_namespaced_deployment(namespace, deployment())
    assert made.spec.strategy.rolling_update.max_surge is not None
    apps.patch_namespaced_deployment_scale("d", namespace, {"spec": {"replicas": 3}})
    assert apps.read_namespaced_deployment("d", namespace).spec.replicas == 3
    core.create_namespaced_service(namespace, service(type="LoadBalancer"))
    assert core.read_namespaced_service("s", namespace).status.load_balancer.ingress[0].ip
    core.create_namespaced_pod(namespace, pod())
    assert core.list_namespaced_pod(namespace, label_selector="").items[0].status.phase == "Pending"
    core.delete_namespaced_pod("p", namespace)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_pod("p", namespace)
    assert missing.value.status == 404


def test_watching(served: Served, connection: Any) -> None:
    namespace = served.namespace()
    core = client.CoreV1Api(connection)
    since = core.list_namespaced_config_map(namespace).metadata.resource_version
    for name in "ab":
        served.run(served.api.create("configmaps", config_map(name), namespace))
    stream, seen = watch.Watch(), []
    for event in stream.stream(
        core.list_namespaced_config_map, namespace, resource_version=since, timeout_seconds=10
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            stream.stop()
    assert seen == [("ADDED", "a"), ("ADDED", "b")]


def test_the_dynamic_client(served: Served, connection: Any) -> None:
    namespace = served.namespace()
    served.run(served.api.create("customresourcedefinitions.apiextensions.k8s.io", definition("dynamic.io")))
    dynamics = dynamic.DynamicClient(connection)
    widgets = dynamics.resources.get(api_version="dynamic.io/v1", kind="Widget")
    wanted = {"apiVersion": "dynamic.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {}}
    widgets.server_side_apply(body=wanted, name="w", namespace=namespace, field_manager="me")
    assert widgets.get(name="w", namespace=namespace).metadata.managedFields[0].manager == "me"
    assert [item.metadata.name for item in widgets.get(namespace=namespace).items] == ["w"]
    widgets.delete(name="w", namespace=namespace)
    assert widgets.get(namespace=namespace).items == []


def test_exec_over_the_older_protocol(served: Served, connection: Any) -> None:
    stream = import_module("kubernetes.stream").stream

    namespace = served.namespace()
    served.run(served.api.create("pods", pod(), namespace))
    core = client.CoreV1Api(connection)
    session: Any = stream(
        core.connect_get_namespaced_pod_exec,
        "p",
        namespace,
        command=["say", "7"],
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    session.run_forever(timeout=30)
    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("say 7\n", "done\n", 7)
    session.close()
    session.sock.shutdown()  # the client itself leaves it open once the server has said goodbye


def test_logs_and_tokens(served: Served, connection: Any) -> None:
    namespace = served.namespace()
    served.run(served.api.create("pods", pod(), namespace))
    core = client.CoreV1Api(connection)
    assert core.read_namespaced_pod_log("p", namespace, tail_lines=1) == "p/main 0\n"
    wanted = {"spec": {"audiences": ["istio-ca"], "expirationSeconds": 600}}
    made = core.create_namespaced_service_account_token("default", namespace, wanted)
    review = {"spec": {"token": made.status.token, "audiences": ["istio-ca"]}}
    told = client.AuthenticationV1Api(connection).create_token_review(review)
    assert (told.status.authenticated, told.status.audiences) == (True, ["istio-ca"])


def test_the_asynchronous_client(served: Served) -> None:
    namespace = served.namespace()
    loops.run(_asynchronous(served, namespace))


async def _asynchronous(served: Served, namespace: str) -> None:
    aio, aio_config, aio_watch = (
        import_module(f"kubernetes.aio.{part}") for part in ("client", "config", "watch")
    )

    configuration = aio.Configuration()
    await aio_config.load_kube_config(str(served.kubeconfig), client_configuration=configuration)
    async with aio.ApiClient(configuration) as connection:
        core = aio.CoreV1Api(connection)
        since = (await core.list_namespaced_config_map(namespace)).metadata.resource_version
        await core.create_namespaced_config_map(namespace, config_map("a"))
        async with aio_watch.Watch() as stream:
            events = stream.stream(core.list_namespaced_config_map, namespace, resource_version=since)
            async for event in events:
                assert (event["type"], event["object"].metadata.name) == ("ADDED", "a")
                break


def test_in_cluster_tokens(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = import_module("kubernetes.config.incluster_config").InClusterConfigLoader

    token = tmp_path / "token"
    token.write_text(served.api.mint_token("default", "default"))
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(served.port)}
    made = client.Configuration()
    loader(str(token), str(served.ca), environ={**os.environ, **environment}).load_and_set(made)
    with opened(client.ApiClient(made)) as connection:
        assert client.CoreV1Api(connection).list_namespace().items
