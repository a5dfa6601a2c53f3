"""Objects as tests hand them over, and the questions asked of them."""

from pathlib import Path
from typing import Any

import pytest

from pytest_mesh import HarnessError
from pytest_mesh.kube import conditions, is_ready, load, name_of
from pytest_mesh.kube.objects import rolled_out
from pytest_mesh.rollouts import trouble

pytestmark = pytest.mark.behaviour("H2")
TWO = "apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: n}\n---\n\n---\napiVersion: v1\nkind: B\n"


def test_text_files_folders_and_mappings_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(TWO)
    kinds = [[item["kind"] for item in load(source)] for source in (TWO, tmp_path / "x.yaml", tmp_path)]
    assert kinds == [["A", "B"]] * 3
    assert load({"apiVersion": "v1", "kind": "List", "items": load(TWO)}) == load(TWO)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("kind: A", "document 1 of the YAML text is not a Kubernetes object"),
        ("a: [", "the YAML text is not YAML"),
        ("- 1", "is not a Kubernetes object"),
        (Path("/no/such.yaml"), "/no/such.yaml cannot be read: No such file"),
    ],
)
def test_what_is_no_object_is_named(source: Any, words: str) -> None:
    with pytest.raises(HarnessError, match=words):
        load(source)


def test_names_are_as_kubectl_has_them() -> None:
    assert [name_of(item) for item in load(TWO)] == ["A n/a", "B ?"]


def deployment(**status: int) -> dict[str, Any]:
    return {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}


def test_a_rollout_is_done_when_nothing_old_is_left() -> None:
    done = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    assert rolled_out(deployment(observedGeneration=2, **done))
    assert not rolled_out(deployment(observedGeneration=1, **done))
    assert not rolled_out(deployment(observedGeneration=2, **{**done, "replicas": 3}))
    assert not rolled_out({"metadata": {}, "spec": {}})


def test_a_pod_on_its_way_out_is_not_ready() -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert is_ready({"metadata": {}, "status": status})
    assert not is_ready({"metadata": {"deletionTimestamp": "now"}, "status": status})
    assert conditions({"status": status}) == {"Ready": "True"}


def test_the_trouble_of_a_pod_is_told_in_its_own_words() -> None:
    waiting = {"name": "app", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    ended = {"name": "init", "state": {"terminated": {"exitCode": 0}}}
    pod = {"status": {"initContainerStatuses": [ended], "containerStatuses": [waiting]}}
    assert trouble(pod) == "app is waiting: ErrImagePull no such image"
    assert trouble({"status": {"phase": "Pending"}}) == "Pending"


def test_a_key_that_is_nearly_right_is_named() -> None:
    with pytest.raises(HarnessError) as wrong:
        load("apiversion: v1\nkind: Service")
    assert wrong.value.remedy == "write apiVersion instead of apiversion"
