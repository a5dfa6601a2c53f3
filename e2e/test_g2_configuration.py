"""G2: configuration comes to Pilot from Galley alone; what became of each object stands in its status."""

from typing import Any

import pytest

from e2e.helpers import split
from pytest_mesh import all_ok, eventually, versions
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj

pytestmark = pytest.mark.behaviour("G2")


def conditions(weather: Weather, item: Obj) -> dict[str, Obj]:
    found = weather.mesh.api.find(item) or {}
    return {each["type"]: each for each in (found.get("status") or {}).get("conditions") or ()}


def test_every_object_tells_whether_it_was_accepted_and_by_how_many_it_is_used(weather: Weather) -> None:
    item = split(v1=100)
    weather.mesh.apply(item)

    def told() -> bool:
        now = conditions(weather, item)
        return {name: each["status"] for name, each in now.items()} == {
            "Accepted": "True",
            "Programmed": "True",
        }

    eventually(told, 15)
    words = conditions(weather, item)["Programmed"]["message"].split()
    assert max((int(word) for word in words if word.isdigit()), default=0) > 0, words
    generation = (weather.mesh.api.find(item) or {})["metadata"]["generation"]
    assert all(each.get("observedGeneration") == generation for each in conditions(weather, item).values())


def test_writing_a_status_moves_nothing(weather: Weather) -> None:
    item = split(v1=100)
    weather.mesh.apply(item)
    eventually(lambda: conditions(weather, item), 15)
    before = weather.mesh.pilot.get("/debug/history")[-1]
    weather.mesh.api.patch(item, {"status": {"observedGeneration": 7}}, subresource="status")
    weather.mesh.settle()
    assert weather.mesh.pilot.get("/debug/history")[-1] == before


def test_pilot_may_not_read_configuration_itself(weather: Weather, pytestconfig: Any) -> None:
    """In the classic profile, where it has an account of its own."""
    if pytestconfig.getoption("--mesh-profile") != "classic":
        pytest.skip("in profile compact, Pilot and Galley are one process with one account")
    assert may(weather, "istio-galley", "virtualservices")
    assert not may(weather, "istio-pilot", "virtualservices")


def may(weather: Weather, account: str, plural: str) -> bool:
    attributes = {"verb": "list", "group": "networking.istio.io", "resource": plural}
    spec = {"user": f"system:serviceaccount:istio-system:{account}", "resourceAttributes": attributes}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = weather.mesh.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def test_configuration_goes_on_after_galley_was_away(weather: Weather, pytestconfig: Any) -> None:
    """In the classic profile Galley is a process of its own: while it is gone, what was holds."""
    if pytestconfig.getoption("--mesh-profile") != "classic":
        pytest.skip("in profile compact, Galley is a part of Pilot's process; X4 kills that")
    mesh = weather.mesh
    mesh.apply(split(v1=100))
    (galley,) = mesh.pods("istio-system", app="istio-galley")
    galley.delete(grace_seconds=0)
    weather.client.get(weather.forecast, count=10).check(all_ok(), versions("v1"))
    eventually(lambda: any(pod.ready for pod in mesh.pods("istio-system", app="istio-galley")), 60)
    eventually(lambda: mesh.apply(split(v2=100)), 30, retry_on=(Exception,))
    weather.client.get(weather.forecast, count=10).check(all_ok(), versions("v2"))
