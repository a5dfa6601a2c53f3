"""EndpointSlices and Endpoints: who is behind a Service, and how it stands."""

from __future__ import annotations

from typing import Any

import pytest

from pocketkube.api.objects import Obj, copy_of
from tests.pocketkube.controllers.stage import NAMESPACE, Stage, deployment, pod, service, stage
from tests.pocketkube.controllers.virtual import run

pytestmark = [pytest.mark.behaviour("H1"), pytest.mark.behaviour("W3")]

SLICES = "endpointslices.discovery.k8s.io"


def slices(scene: Stage, name: str = "web") -> list[Obj]:
    return scene.all(SLICES, f"kubernetes.io/service-name={name}")


def endpoints(scene: Stage, name: str = "web") -> dict[str, Obj]:
    """The endpoints by the name of their Pod."""
    return {
        endpoint["targetRef"]["name"]: endpoint
        for entry in slices(scene, name)
        for endpoint in entry.get("endpoints") or []
    }


def conditions(scene: Stage, name: str) -> tuple[bool, bool, bool]:
    found = endpoints(scene)[name]["conditions"]
    return found["ready"], found["serving"], found["terminating"]


async def one_pod(scene: Stage, **spec: Any) -> Obj:
    await scene.create("services", service("web", **spec))
    return await scene.create("pods", pod("web"))


def test_a_ready_pod_is_an_endpoint() -> None:
    async def play() -> None:
        async with stage() as scene:
            await one_pod(scene)
            entry = slices(scene)[0]
            assert entry["addressType"] == "IPv4"
            assert entry["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
            assert entry["metadata"]["ownerReferences"][0]["kind"] == "Service"
            found = scene.get("pods", "web")
            assert entry["endpoints"] == [
                {
                    "addresses": [found["status"]["podIP"]],
                    "conditions": {"ready": True, "serving": True, "terminating": False},
                    "nodeName": "node-1",
                    "zone": "zone-1",
                    "targetRef": {
                        "kind": "Pod",
                        "namespace": NAMESPACE,
                        "name": "web",
                        "uid": found["metadata"]["uid"],
                    },
                }
            ]

    run(play())


def test_readiness_comes_and_goes() -> None:
    async def play() -> None:
        async with stage() as scene:
            made = await one_pod(scene)
            assert conditions(scene, "web") == (True, True, False)
            await scene.make_ready(made, ready=False)
            await scene.settled()
            assert conditions(scene, "web") == (False, False, False)
            await scene.make_ready(made)
            await scene.settled()
            assert conditions(scene, "web") == (True, True, False)

    run(play())


def test_a_pod_that_ends_still_serves_until_it_is_gone() -> None:
    async def play() -> None:
        async with stage() as scene:
            made = await one_pod(scene)
            scene.by_hand = True
            await scene.delete("pods", "web")
            assert conditions(scene, "web") == (False, True, True)
            await scene.make_ready(made, ready=False)
            await scene.settled()
            assert conditions(scene, "web") == (False, False, True)
            await scene.remove(made)
            await scene.settled()
            assert endpoints(scene) == {}

    run(play())


@pytest.mark.parametrize("well", [True, False])
def test_a_pod_that_has_ended_is_no_endpoint(*, well: bool) -> None:
    async def play() -> None:
        async with stage() as scene:
            made = await one_pod(scene)
            await scene.finish(made, well=well)
            assert endpoints(scene) == {}

    run(play())


def test_unready_pods_can_be_published() -> None:
    async def play() -> None:
        async with stage() as scene:
            made = await one_pod(scene, clusterIP="None", publishNotReadyAddresses=True)
            await scene.make_ready(made, ready=False)
            await scene.settled()
            assert conditions(scene, "web") == (True, False, False)
            assert "service.kubernetes.io/headless" in slices(scene)[0]["metadata"]["labels"]

    run(play())


def test_a_pod_without_an_address_waits() -> None:
    async def play() -> None:
        async with stage(by_hand=True) as scene:
            await one_pod(scene)
            assert [entry["endpoints"] for entry in slices(scene)] == [[]]

    run(play())


def test_labels_decide_and_may_change() -> None:
    async def play() -> None:
        async with stage() as scene:
            await one_pod(scene)
            await scene.patch("pods", "web", {"metadata": {"labels": {"app": "other"}}})
            assert endpoints(scene) == {}
            await scene.patch("services", "web", {"spec": {"selector": {"app": "other"}}})
            assert set(endpoints(scene)) == {"web"}

    run(play())


def test_named_ports_are_those_of_each_pod() -> None:
    async def play() -> None:
        async with stage() as scene:
            ports = [
                {"name": "http", "port": 80, "targetPort": "web"},
                {"name": "admin", "port": 90, "targetPort": 9000},
            ]
            await scene.create("services", service("web", ports=ports))
            for name, port in (("old", 8080), ("new", 8081)):
                container = {"name": "a", "image": "i", "ports": [{"name": "web", "containerPort": port}]}
                await scene.create("pods", pod(name, labels={"app": "web"}, containers=[container]))
            await scene.create("pods", pod("without", labels={"app": "web"}))
            found = {
                endpoint["targetRef"]["name"]: [port["port"] for port in entry["ports"]]
                for entry in slices(scene)
                for endpoint in entry["endpoints"]
            }
            assert found == {"old": [8080, 9000], "new": [8081, 9000], "without": [9000]}

    run(play())


def test_the_protocol_of_the_application_is_handed_on() -> None:
    async def play() -> None:
        async with stage() as scene:
            await one_pod(scene, ports=[{"name": "grpc", "port": 80, "appProtocol": "kubernetes.io/h2c"}])
            assert slices(scene)[0]["ports"] == [
                {"name": "grpc", "protocol": "TCP", "port": 80, "appProtocol": "kubernetes.io/h2c"}
            ]

    run(play())


def test_one_pod_behind_two_services() -> None:
    async def play() -> None:
        async with stage() as scene:
            await one_pod(scene)
            await scene.create("services", service("again", selector={"app": "web"}))
            assert set(endpoints(scene, "again")) == set(endpoints(scene)) == {"web"}

    run(play())


def test_a_name_of_its_own_in_the_dns() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("services", service("web", clusterIP="None"))
            await scene.create("pods", pod("web", hostname="first", subdomain="web"))
            assert endpoints(scene)["web"]["hostname"] == "first"

    run(play())


def test_the_zone_follows_the_node() -> None:
    async def play() -> None:
        async with stage() as scene:
            await one_pod(scene)
            node = copy_of(scene.api.get("nodes", "node-1"))
            node["metadata"]["labels"]["topology.kubernetes.io/zone"] = "elsewhere"
            await scene.api.update("nodes", node)
            await scene.settled()
            assert endpoints(scene)["web"]["zone"] == "elsewhere"

    run(play())


def test_slices_without_a_selector_are_left_to_others() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("services", service("manual", selector=None))
            await scene.create(
                "services",
                {
                    "metadata": {"name": "away"},
                    "spec": {"type": "ExternalName", "externalName": "example.com"},
                },
            )
            assert scene.all(SLICES) == []
            assert scene.all("endpoints") == []

    run(play())


def test_what_somebody_broke_is_mended() -> None:
    async def play() -> None:
        async with stage() as scene:
            await one_pod(scene)
            name = slices(scene)[0]["metadata"]["name"]
            await scene.patch(SLICES, name, {"endpoints": []})
            assert set(endpoints(scene)) == {"web"}
            await scene.delete(SLICES, name)
            assert set(endpoints(scene)) == {"web"}
            assert slices(scene)[0]["metadata"]["name"] != name

    run(play())


def test_slices_go_with_their_service() -> None:
    async def play() -> None:
        async with stage() as scene:
            await one_pod(scene)
            await scene.delete("services", "web")
            assert scene.all(SLICES) == []
            assert scene.all("endpoints") == []

    run(play())


def test_a_hundred_endpoints_fill_a_slice() -> None:
    async def play() -> None:
        async with stage(nodes=3) as scene:
            await scene.create("services", service("web"))
            await scene.create("deployments.apps", deployment("web", 150))
            assert sorted(len(entry["endpoints"]) for entry in slices(scene)) == [50, 100]
            await scene.patch("deployments.apps", "web", {"spec": {"replicas": 0}})
            assert [entry["endpoints"] for entry in slices(scene)] == [[]]

    run(play())


def test_the_older_endpoints_tell_ready_from_unready() -> None:
    async def play() -> None:
        async with stage() as scene:
            made = await one_pod(scene)
            await scene.settled(1)
            address = scene.get("pods", "web")["status"]["podIP"]
            subset = scene.get("endpoints", "web")["subsets"][0]
            assert [entry["ip"] for entry in subset["addresses"]] == [address]
            assert subset["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
            await scene.make_ready(made, ready=False)
            await scene.settled(1)
            subset = scene.get("endpoints", "web")["subsets"][0]
            assert "addresses" not in subset
            assert [entry["ip"] for entry in subset["notReadyAddresses"]] == [address]

    run(play())


OUTSIDE = {
    "metadata": {"name": "outside"},
    "subsets": [
        {
            "addresses": [{"ip": "198.18.250.2"}],
            "notReadyAddresses": [{"ip": "198.18.250.3"}],
            "ports": [{"name": "http", "port": 8080}],
        }
    ],
}


def mirrored(scene: Stage) -> dict[str, bool]:
    return {
        endpoint["addresses"][0]: endpoint["conditions"]["ready"]
        for entry in slices(scene, "outside")
        for endpoint in entry.get("endpoints") or []
    }


def test_endpoints_that_users_write_are_mirrored() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("services", service("outside", selector=None))
            await scene.create("endpoints", OUTSIDE)
            assert mirrored(scene) == {"198.18.250.2": True, "198.18.250.3": False}
            assert slices(scene, "outside")[0]["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]

            changed = copy_of(scene.get("endpoints", "outside"))
            changed["subsets"][0]["addresses"].append({"ip": "198.18.250.4"})
            await scene.api.update("endpoints", changed)
            await scene.settled()
            assert mirrored(scene)["198.18.250.4"]

            await scene.delete("endpoints", "outside")
            assert slices(scene, "outside") == []

    run(play())


def test_endpoints_are_not_mirrored_when_nobody_wants_it() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("endpoints", OUTSIDE)
            assert slices(scene, "outside") == []
            await scene.create("services", service("outside", selector=None))
            assert mirrored(scene)
            mark = {"endpointslice.kubernetes.io/skip-mirror": "true"}
            await scene.patch("endpoints", "outside", {"metadata": {"labels": mark}})
            assert slices(scene, "outside") == []

    run(play())
