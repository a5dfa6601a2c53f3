"""The real kubectl against the served API."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.pocketkube.api.rig import Served, definition, deployment, pod

pytestmark = pytest.mark.behaviour("H1")


@pytest.fixture
def namespace(served: Served) -> str:
    return served.namespace()


def test_version_and_resources(served: Served) -> None:
    versions = json.loads(served.kubectl("version", "-o", "json").stdout)
    assert versions["serverVersion"]["gitVersion"].startswith("v1.")
    listed = served.kubectl("api-resources", "--no-headers").stdout
    assert "deployments" in listed
    assert "customresourcedefinitions" in listed


def test_apply_again_and_again(served: Served, namespace: str, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(deployment(image="i:1")))
    words = ["apply", "-n", namespace, "-f", str(manifest)]
    assert "created" in served.kubectl(*words).stdout
    assert "unchanged" in served.kubectl(*words).stdout
    manifest.write_text(json.dumps(deployment(image="i:2")))
    assert served.kubectl("diff", "-n", namespace, "-f", str(manifest), check=False).returncode in {0, 1, 2}
    assert "configured" in served.kubectl(*words).stdout
    stored = served.api.get("deployments.apps", "d", namespace)
    assert stored["spec"]["template"]["spec"]["containers"][0]["image"] == "i:2"


def test_server_side_apply(served: Served, namespace: str, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(deployment(image="i:1")))
    words = ["apply", "--server-side", "-n", namespace, "-f", str(manifest)]
    assert "serverside-applied" in served.kubectl(*words).stdout
    served.kubectl("set", "image", "-n", namespace, "deployment/d", "main=i:9")
    conflict = served.kubectl(*words, check=False)
    assert "conflict with" in conflict.stderr
    assert "serverside-applied" in served.kubectl(*words, "--force-conflicts").stdout


def test_mistakes_are_named(served: Served, namespace: str) -> None:
    wrong = deployment()
    wrong["spec"]["replcas"] = 1
    refused = served.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(wrong), check=False)
    assert 'unknown field "spec.replcas"' in refused.stderr
    wrong = deployment()
    wrong["spec"]["replicas"] = "many"
    refused = served.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(wrong), check=False)
    assert "spec.replicas" in refused.stderr


@pytest.mark.parametrize(
    ("words", "resource", "name"),
    [
        (["configmap", "x", "--from-literal=a=b"], "configmaps", "x"),
        (["secret", "generic", "x", "--from-literal=a=b"], "secrets", "x"),
        (["serviceaccount", "x"], "serviceaccounts", "x"),
        (["deployment", "x", "--image=i:1", "--port=80", "--replicas=2"], "deployments.apps", "x"),
        (["service", "clusterip", "x", "--tcp=80:8080"], "services", "x"),
        (["job", "x", "--image=i:1", "--", "sleep", "1"], "jobs.batch", "x"),
        (["cronjob", "x", "--image=i:1", "--schedule=* * * * *"], "cronjobs.batch", "x"),
        (["role", "x", "--verb=get", "--resource=pods"], "roles.rbac.authorization.k8s.io", "x"),
        (["rolebinding", "x", "--role=x", "--user=u"], "rolebindings.rbac.authorization.k8s.io", "x"),
        (["quota", "x", "--hard=pods=2"], "resourcequotas", "x"),
        (
            ["poddisruptionbudget", "x", "--selector=a=b", "--min-available=1"],
            "poddisruptionbudgets.policy",
            "x",
        ),
    ],
)
def test_create_sends_protobuf(
    served: Served, namespace: str, words: list[str], resource: str, name: str
) -> None:
    served.kubectl("create", "-n", namespace, *words)
    assert served.api.get(resource, name, namespace)


def test_protobuf_bodies_mean_what_they_say(served: Served, namespace: str) -> None:
    served.kubectl("create", "-n", namespace, "deployment", "x", "--image=i:1", "--port=80", "--replicas=2")
    made = served.api.get("deployments.apps", "x", namespace)
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert (made["spec"]["replicas"], container["ports"]) == (2, [{"containerPort": 80, "protocol": "TCP"}])
    assert "tty" not in container
    served.kubectl("create", "-n", namespace, "service", "clusterip", "x", "--tcp=80:8080")
    port = served.api.get("services", "x", namespace)["spec"]["ports"][0]
    assert (port["port"], port["targetPort"], port["name"]) == (80, 8080, "80-8080")
    served.kubectl("create", "-n", namespace, "secret", "generic", "x", "--from-literal=a=b")
    assert served.api.get("secrets", "x", namespace)["data"] == {"a": "Yg=="}


def test_what_is_printed(served: Served, namespace: str) -> None:
    served.run(served.api.create("pods", pod("p"), namespace))
    served.kubectl("create", "-n", namespace, "deployment", "d", "--image=i:1")
    served.kubectl("expose", "-n", namespace, "deployment", "d", "--port=80")
    pods = served.kubectl("get", "pods", "-n", namespace, "-o", "wide").stdout.splitlines()
    assert pods[0].split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert pods[1].split()[:3] == ["p", "0/1", "Pending"]
    everything = served.kubectl("get", "all", "-n", namespace).stdout
    assert "deployment.apps/d" in everything
    assert "service/d" in everything
    assert "198.19." in served.kubectl("get", "svc", "-n", namespace).stdout
    assert "Service Account:  default" in served.kubectl("describe", "pod", "-n", namespace, "p").stdout


def test_printer_columns_of_definitions(served: Served, namespace: str) -> None:
    properties = {"size": {"type": "integer"}}
    made = definition("columns.io", properties=properties)
    served.kubectl("apply", "-f", "-", stdin=json.dumps(made))
    widget = {"apiVersion": "columns.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}
    served.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(widget))
    header, row = served.kubectl("get", "widgets.columns.io", "-n", namespace).stdout.splitlines()
    assert (header.split(), row.split()) == (["NAME", "SIZE"], ["w", "3"])
    explained = served.kubectl("explain", "widgets.spec", "--api-version=columns.io/v1").stdout
    assert "size" in explained
    assert "<integer>" in explained


def test_labels_annotations_patches_and_scale(served: Served, namespace: str) -> None:
    served.run(served.api.create("deployments.apps", deployment(), namespace))
    served.kubectl("label", "-n", namespace, "deployment", "d", "a=b")
    served.kubectl("annotate", "-n", namespace, "deployment", "d", "c=d")
    served.kubectl("scale", "-n", namespace, "deployment", "d", "--replicas=3")
    served.kubectl("patch", "-n", namespace, "deployment", "d", "-p", '{"spec":{"paused":true}}')
    served.kubectl("set", "image", "-n", namespace, "deployment/d", "main=i:7")
    served.kubectl("label", "-n", namespace, "deployment", "d", "a-")
    made = served.api.get("deployments.apps", "d", namespace)
    assert (made["spec"]["replicas"], made["spec"]["paused"]) == (3, True)
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "i:7"
    assert (made["metadata"].get("labels"), made["metadata"]["annotations"]) == ({}, {"c": "d"})


def test_wait_for_a_condition_and_for_deletion(served: Served, namespace: str) -> None:
    served.run(served.api.create("pods", pod("p"), namespace))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    words = [
        str(item) for item in ("wait", "-n", namespace, "--for=condition=Ready", "pod/p", "--timeout=10s")
    ]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(served.kubectl, *words)
        served.run(served.api.patch("pods", "p", namespace, ready, subresource="status"))
        assert "condition met" in waiting.result().stdout
        gone = pool.submit(served.kubectl, "wait", "-n", namespace, "--for=delete", "pod/p", "--timeout=10s")
        served.run(served.api.delete("pods", "p", namespace, grace_seconds=0))
        assert gone.result().returncode == 0


def test_delete(served: Served, namespace: str) -> None:
    served.run(served.api.create("deployments.apps", deployment(), namespace))
    assert "deleted" in served.kubectl("delete", "-n", namespace, "deployment", "d", "--timeout=10s").stdout
    missing = served.kubectl("delete", "-n", namespace, "deployment", "d", check=False)
    assert 'deployments.apps "d" not found' in missing.stderr


def test_logs_and_exec(served: Served, namespace: str) -> None:
    served.run(served.api.create("pods", pod("p"), namespace))
    assert served.kubectl("logs", "-n", namespace, "p", "--tail=1").stdout == "p/main 0\n"
    done = served.kubectl("exec", "-n", namespace, "p", "--", "say", "hello")
    assert (done.stdout, done.stderr) == ("say hello\n", "done\n")
    fed = served.kubectl("exec", "-i", "-n", namespace, "p", "--", "cat", stdin="some input\n")
    assert fed.stdout == "cat\nsome input\n"
    failed = served.kubectl("exec", "-n", namespace, "p", "--", "exit", "3", check=False)
    assert failed.returncode == 3


def test_who_and_what(served: Served, namespace: str) -> None:
    assert "kubernetes-admin" in served.kubectl("auth", "whoami").stdout
    assert served.kubectl("auth", "can-i", "create", "pods").stdout.strip() == "yes"
    assert served.kubectl("create", "token", "-n", namespace, "default").stdout.count(".") == 2


def test_kustomize(served: Served, tmp_path: Path) -> None:
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kustomized"}}
    (tmp_path / "namespace.yaml").write_text(json.dumps(made))
    (tmp_path / "deployment.yaml").write_text(json.dumps(deployment()))
    listed = {"namespace": "kustomized", "resources": ["namespace.yaml", "deployment.yaml"]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(listed))
    assert served.kubectl("apply", "-k", str(tmp_path)).stdout.count("created") == 2
    assert served.api.get("deployments.apps", "d", "kustomized")


def test_watching_prints_changes(served: Served, namespace: str) -> None:
    served.run(served.api.create("pods", pod("p"), namespace))
    words = ["get", "pods", "-n", namespace, "-w", "--output-watch-events", "--no-headers"]
    with watching(served, words) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split()[:2] == ["ADDED", "p"]
        served.run(
            served.api.patch("pods", "p", namespace, {"status": {"phase": "Running"}}, subresource="status")
        )
        assert process.stdout.readline().split()[:4] == ["MODIFIED", "p", "0/1", "Running"]
        process.terminate()


def watching(served: Served, words: list[str]) -> "subprocess.Popen[str]":
    import sysconfig

    program = str(Path(sysconfig.get_path("scripts")) / "kubectl")
    environment = {"KUBECONFIG": str(served.kubeconfig), "HOME": str(served.folder)}
    return subprocess.Popen([program, *words], stdout=subprocess.PIPE, text=True, env=environment)
