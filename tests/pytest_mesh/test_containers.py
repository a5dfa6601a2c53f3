"""H1: what a container engine is asked for, from a container's manifest."""

from typing import Any

import pytest

from mesh.injector.settings import Settings
from mesh.install.manifests import render
from pytest_mesh.imaging.containers import run_words
from tests.injector.pods import FRONTEND, injected

pytestmark = pytest.mark.behaviour("H1")


def words(pod: dict[str, Any], container: dict[str, Any]) -> list[str]:
    mounts = [["/made/tmp", "/tmp", False], ["/made/token", "/var/run/secrets/tokens", True]]
    return run_words(pod, container, sandbox="box", environment={"A": "b=c"}, mounts=mounts)


def mixer() -> dict[str, Any]:
    (found,) = (
        item["spec"]["template"] for item in render() if item["metadata"]["name"] == "istio-policy"
        and item["kind"] == "Deployment"
    )  # fmt: skip
    template: dict[str, Any] = found
    return template


def test_a_part_of_the_control_plane_may_do_and_write_nothing() -> None:
    pod = mixer()
    asked = words(pod, pod["spec"]["containers"][0])
    image = asked.index("meshwright/mesh:0.1.0")
    assert set(asked[:image]) == {
        "--network=container:box", "--pull=never", "--user=1337:1337", "--group-add=1337", "--cap-drop=ALL",
        "--security-opt=no-new-privileges", "--read-only", "--cpus=1", "--memory=1073741824", "--env=A=b=c",
        "--volume=/made/tmp:/tmp", "--volume=/made/token:/var/run/secrets/tokens:ro",
        "--entrypoint=istio-policy",
    }  # fmt: skip
    assert asked[image + 1 :][:2] == ["--namespace", "istio-system"]


def test_the_init_container_alone_is_root_with_the_networks_rights() -> None:
    pod = injected(FRONTEND, Settings())
    (init,) = pod["spec"]["initContainers"]
    asked = words(pod, init)
    assert {"--user=0:0", "--cap-drop=ALL", "--cap-add=NET_ADMIN", "--cap-add=NET_RAW"} <= set(asked)
    assert "--read-only" not in asked
    for container in pod["spec"]["containers"]:
        assert not [word for word in words(pod, container) if word.startswith("--cap-add")]


def test_what_a_manifest_does_not_say_the_image_decides() -> None:
    container = {"name": "app", "image": "app:1", "args": ["frontend"]}
    pod = {"metadata": {}, "spec": {"containers": [container]}}
    assert run_words(pod, container, sandbox="box", environment={}, mounts=[]) == [
        "--network=container:box", "--pull=never", "app:1", "frontend"
    ]  # fmt: skip
