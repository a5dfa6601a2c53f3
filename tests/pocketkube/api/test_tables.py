"""What `kubectl get` prints: ages, statuses of Pods, paths of printer columns."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pocketkube.api.objects import Obj, timestamp
from pocketkube.api.resources import Resources
from pocketkube.api.tables.columns import age, columns_of, duration
from pocketkube.api.tables.jsonpath import find

pytestmark = pytest.mark.behaviour("H1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (192, "3m12s"),
        (600, "10m"),
        (10800, "3h"),
        (11100, "3h5m"),
        (30000, "8h"),
        (172800, "2d"),
        (180000, "2d2h"),
        (86400 * 9, "9d"),
        (86400 * 800, "2y70d"),
        (86400 * 365 * 9, "9y"),
    ],
)
def test_durations_in_the_units_that_matter(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_ages() -> None:
    assert age(timestamp(NOW - timedelta(seconds=5)), NOW) == "5s"
    assert age(timestamp(NOW + timedelta(seconds=5)), NOW) == "0s"
    assert (age(None, NOW), age("yesterday", NOW)) == ("<unknown>", "<invalid>")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.size", 3),
        (".spec.missing", None),
        (".spec.list[0].name", "a"),
        (".spec.list[-1].name", "b"),
        (".spec.list[*].name", ["a", "b"]),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        ('.status.conditions[?(@.type=="Gone")].status', None),
        (r".metadata.annotations.example\.io/kind", "x"),
        (".metadata.annotations['example.io/kind']", "x"),
    ],
)
def test_paths_of_printer_columns(path: str, found: Any) -> None:
    obj = {
        "metadata": {"annotations": {"example.io/kind": "x"}},
        "spec": {"size": 3, "list": [{"name": "a"}, {"name": "b"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert find(obj, path) == found


def cells(resource: str, obj: Obj) -> dict[str, Any]:
    columns = columns_of(Resources().find(resource), "v1")
    return {column.name: column.value(obj, NOW) for column in columns}


def container(ready: bool = False, restarts: int = 0, **state: Any) -> Obj:
    return {"ready": ready, "restartCount": restarts, "state": state}


PULLING: Obj = {"waiting": {"reason": "ImagePullBackOff"}}
ERROR: Obj = {"terminated": {"exitCode": 1, "reason": "Error"}}
PODS: list[tuple[Obj, Obj, tuple[str, str]]] = [
    ({"containerStatuses": [container(ready=True, running={})], "phase": "Running"}, {}, ("1/1", "Running")),
    (
        {"containerStatuses": [container(**PULLING)]},
        {},
        ("0/1", "ImagePullBackOff"),
    ),
    ({"containerStatuses": [container(terminated={"exitCode": 3})]}, {}, ("0/1", "ExitCode:3")),
    ({"containerStatuses": [container(terminated={"signal": 9})]}, {}, ("0/1", "Signal:9")),
    ({"initContainerStatuses": [container(running={})]}, {}, ("0/1", "Init:0/1")),
    (
        {"initContainerStatuses": [container(**ERROR)]},
        {},
        ("0/1", "Init:Error"),
    ),
    ({"phase": "Running"}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, ("0/1", "Terminating")),
    ({"phase": "Failed", "reason": "Evicted"}, {}, ("0/1", "Evicted")),
]


@pytest.mark.parametrize(("status", "metadata", "shown"), PODS)
def test_how_pods_stand(status: Obj, metadata: Obj, shown: tuple[str, str]) -> None:
    spec = {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}
    told = cells("pods", {"metadata": {"name": "p", **metadata}, "spec": spec, "status": status})
    assert (told["Ready"], told["Status"]) == shown


def test_sidecars_count_among_the_containers() -> None:
    spec = {"containers": [{"name": "a"}], "initContainers": [{"name": "i", "restartPolicy": "Always"}]}
    proxy = {**container(ready=True, running={}), "started": True}
    status = {"phase": "Running", "initContainerStatuses": [proxy], "containerStatuses": [proxy]}
    told = cells("pods", {"metadata": {"name": "p"}, "spec": spec, "status": status})
    assert (told["Ready"], told["Status"]) == ("2/2", "Running")


def test_restarts_tell_when() -> None:
    ended = {"terminated": {"finishedAt": timestamp(NOW - timedelta(seconds=30))}}
    status = {"containerStatuses": [{**container(restarts=2, running={}), "lastState": ended}]}
    told = cells(
        "pods", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}, "status": status}
    )
    assert told["Restarts"] == "2 (30s ago)"


def test_services_and_nodes() -> None:
    ports = [{"port": 80, "nodePort": 30000, "protocol": "TCP"}]
    balancer = {
        "metadata": {"name": "s"},
        "spec": {"type": "LoadBalancer", "clusterIP": "198.19.1.1", "ports": ports},
        "status": {"loadBalancer": {"ingress": [{"ip": "198.19.255.1"}]}},
    }
    told = cells("services", balancer)
    assert (told["External-IP"], told["Port(s)"], told["Selector"]) == (
        "198.19.255.1",
        "80:30000/TCP",
        "<none>",
    )
    node = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert (cells("nodes", node)["Status"], cells("nodes", node)["Roles"]) == (
        "Ready,SchedulingDisabled",
        "worker",
    )
