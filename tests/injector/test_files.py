"""`kube-inject`: the webhook's work, done to a file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.injector.files import TEMPLATES, ManifestProblem, inject_yaml
from tests.injector.pods import check_schema

pytestmark = pytest.mark.behaviour("I1")

POD_SPEC = {"containers": [{"name": "app", "image": "x"}]}
VERSIONS = {"Pod": "v1", "ReplicationController": "v1", "Job": "batch/v1", "CronJob": "batch/v1"}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s"},
    "spec": {"ports": [{"port": 80}]},
}


def workload(kind: str, **metadata: Any) -> Any:
    """A workload whose Pod template lies where its kind keeps it."""
    template: Any = {"metadata": {"labels": {"app": "a"}, **metadata}, "spec": POD_SPEC}
    node: Any = template
    for key in reversed(TEMPLATES[kind]):
        node = {key: node}
    meta = {"name": "a", "namespace": "shop"}
    return {"apiVersion": VERSIONS.get(kind, "apps/v1"), "kind": kind, "metadata": meta, **pod_or(node)}


def pod_or(node: Any) -> Any:
    return {"spec": POD_SPEC} if "containers" in node.get("spec", {}) else node


def template_of(obj: Any) -> Any:
    node = obj
    for key in TEMPLATES[obj["kind"]]:
        node = node[key]
    return node


def done(*objects: Any) -> list[Any]:
    return list(yaml.safe_load_all(inject_yaml(yaml.safe_dump_all(objects))))


@pytest.mark.parametrize("kind", TEMPLATES)
def test_every_kind_of_workload(kind: str) -> None:
    (result,) = done(workload(kind))
    names = [each["name"] for each in template_of(result)["spec"]["containers"]]
    assert names == ["app", "istio-proxy"]
    owner = next(e["value"] for e in sidecar(result)["env"] if e["name"] == "ISTIO_META_OWNER")
    assert owner == f"kubernetes://apis/{VERSIONS.get(kind, 'apps/v1')}/namespaces/shop/{kind.lower()}s/a"


def sidecar(obj: Any) -> Any:
    return template_of(obj)["spec"]["containers"][1]


def test_lists_and_whatever_is_no_workload() -> None:
    listed, service = done(
        {"apiVersion": "v1", "kind": "List", "items": [workload("Deployment"), SERVICE]}, SERVICE
    )
    assert sidecar(listed["items"][0])["name"] == "istio-proxy"
    assert listed["items"][1] == service == SERVICE


def test_who_refuses_is_left_alone() -> None:
    given = workload("Deployment", annotations={"sidecar.istio.io/inject": "false"})
    assert done(given) == [given]


def test_done_twice_changes_nothing() -> None:
    once = inject_yaml(yaml.safe_dump_all([workload(kind) for kind in TEMPLATES]))
    assert inject_yaml(once) == once


def test_kubernetes_accepts_the_demo_after_it(pytestconfig: pytest.Config) -> None:
    manifests = sorted((pytestconfig.rootpath / "fixtures/weather/manifests").glob("*.yaml"))
    objects = [obj for path in manifests for obj in yaml.safe_load_all(inject_yaml(path.read_text()))]
    check_schema(*objects)
    deployments = [obj for obj in objects if obj["kind"] == "Deployment"]
    assert deployments and all(sidecar(obj)["name"] == "istio-proxy" for obj in deployments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "this is not YAML"),
        ("- a", "is no Kubernetes object"),
        ("kind: Pod", "is no Kubernetes object"),
        ("{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}", "Deployment d: spec is missing"),
        ("{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {}}", "d: template is missing"),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {}}",
            "Pod p: its Pod has no spec.conta",
        ),
        (
            yaml.safe_dump(workload("Job", annotations={"sidecar.istio.io/proxyCPU": "lots"})),
            "Job a: annotation sidecar.istio.io/proxyCPU: 'lots': not a quantity",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(ManifestProblem) as caught:
        inject_yaml(text)
    assert words in str(caught.value)
    assert caught.value.remedy


def meshctl(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mesh.cli.main", "kube-inject", *arguments]
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=False)


def test_the_command(tmp_path: Path) -> None:
    text = yaml.safe_dump(workload("Deployment"))
    source, target = tmp_path / "in.yaml", tmp_path / "out.yaml"
    source.write_text(text)
    assert meshctl("-f", str(source)).stdout == inject_yaml(text)
    assert meshctl("-f", "-", "-o", str(target), given=text).returncode == 0
    assert target.read_text() == inject_yaml(text)


def test_the_command_refuses_with_a_message_and_a_remedy(tmp_path: Path) -> None:
    for arguments, given in ((("-f", "-"), "a: ["), (("-f", str(tmp_path / "none")), "")):
        result = meshctl(*arguments, given=given)
        assert (result.returncode, result.stdout) == (1, "")
        assert "error: " in result.stderr and "try: " in result.stderr and "Traceback" not in result.stderr
