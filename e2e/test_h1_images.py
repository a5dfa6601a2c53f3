"""H1: the images that kind runs, each container started as its manifest says, without kind.

On an embedded cluster of their own, whose Pods a container engine runs.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.install.images import MESH_IMAGE
from pytest_mesh import eventually
from pytest_mesh.clusters.kind import engine as find_engine
from pytest_mesh.errors import ClusterFailed
from pytest_mesh.imaging.engine import Engine, EngineFailed
from pytest_mesh.imaging.health import Standing, check_images_are_there, objects_of, standing

pytestmark = [pytest.mark.behaviour("H1"), pytest.mark.deep, pytest.mark.timeout(900)]
ASK = """
import json, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
    print(json.dumps({"status": answer.status, "server": answer.headers["server"]}))
"""
FOREIGN = ("pocketkube", "pytest_mesh", "weather", "loadtests", "locust", "tests")
LIST = f"""
import importlib.util, os
print([name for name in {FOREIGN} if importlib.util.find_spec(name)], os.getuid())
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    """A container engine that answers and has the images."""
    try:
        found = Engine(find_engine())
        check_images_are_there(found)
    except (ClusterFailed, EngineFailed) as error:
        pytest.skip(f"{error}; {error.remedy}")
    return found


@pytest.fixture(scope="module", params=["compact", "classic"])
def made(request: pytest.FixtureRequest, engine: Engine) -> Iterator[tuple[str, Standing]]:
    with standing(request.param) as found:
        yield request.param, found


def test_every_container_answers_its_probe(made: tuple[str, Standing]) -> None:
    profile, found = made
    deployments = [item for item in objects_of(profile) if item["kind"] == "Deployment"]
    wanted = sorted(
        container["name"]
        for item in deployments
        for container in item["spec"]["template"]["spec"]["containers"]
    )
    assert sorted(each.container for each in found.answered) == wanted
    assert {each.answer for each in found.answered} == {"200"}


def test_a_request_passes_both_sidecars(made: tuple[str, Standing]) -> None:
    _, found = made
    client = found.node.container("client", "client")

    def answer() -> dict[str, Any]:
        url = "http://recommendation.weather.svc.cluster.local:3005/healthz"
        told: dict[str, Any] = json.loads(found.engine.ask("exec", client, "python", "-c", ASK, url))
        return told

    # What comes back was seen by the caller's Envoy; the other Envoy takes it in over mutual TLS alone.
    assert eventually(answer, 60, retry_on=(EngineFailed,)) == {"status": 200, "server": "envoy"}
    proxy = found.node.container("recommendation", "istio-proxy")
    stats = found.engine.ask(
        "exec", proxy, "pilot-agent", "request", "GET", "stats?filter=ssl.handshake$&usedonly"
    )
    assert "listener.0.0.0.0_15006.ssl.handshake" in stats


def test_the_mesh_holds_nothing_of_the_harness(engine: Engine) -> None:
    told = engine.ask("run", "--rm", "--network=none", "--pull=never", MESH_IMAGE, "python", "-c", LIST)
    assert told == "[] 1337"
