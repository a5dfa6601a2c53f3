"""`pytest tutorials`: each lesson's steps are proved on the live mesh, by sybil."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sybil import Document, Example, Region, Sybil

from tutorials.model import parse
from tutorials.runner import prove, reset

WATCHED = (
    ("Namespace", "v1"),
    ("Pod", "v1"),
    ("Service", "v1"),
    ("Deployment", "apps/v1"),
    ("VirtualService", "networking.istio.io/v1"),
    ("DestinationRule", "networking.istio.io/v1"),
    ("Gateway", "networking.istio.io/v1"),
    ("PeerAuthentication", "security.istio.io/v1"),
    ("AuthorizationPolicy", "security.istio.io/v1"),
    ("ServiceEntry", "networking.istio.io/v1"),
    ("Telemetry", "telemetry.istio.io/v1"),
    *((kind, "config.istio.io/v1alpha2") for kind in ("rule", "handler", "instance", "QuotaSpecBinding")),
)


def state(weather: Any) -> dict[str, Any]:
    """What a lesson may change, without what the cluster itself writes.

    Pods of a Deployment count by what they are made from: which of them ends is the cluster's choice.
    """
    found: dict[str, Any] = {}
    pods: Counter[str] = Counter()
    for kind, api in WATCHED:
        for item in weather.mesh.api.items(kind, "", api=api):
            meta = item["metadata"]
            name = f"{kind}/{meta.get('namespace', '')}/{meta.get('generateName') or meta['name']}"
            if "deletionTimestamp" in meta:
                continue
            if kind == "Pod":
                pods[name] += 1
            else:
                found[name] = (item.get("spec"), meta.get("labels"))
    return found | pods


def steps(document: Document) -> Iterable[Region]:
    """A region for each step of the lesson."""
    lesson = parse(Path(document.path).name, document.text)

    def evaluate(example: Example) -> None:
        names = example.namespace
        weather, step = names["weather"], example.parsed
        if step is lesson.steps[0]:
            names["before"] = state(weather)
        try:
            prove(step, weather)
        except BaseException:
            reset(lesson, weather)
            raise
        if step is lesson.steps[-1]:
            reset(lesson, weather)
            assert state(weather) == names["before"], "the lesson leaves the cluster other than it was"

    for step in lesson.steps:
        yield Region(step.start, step.end, step, evaluate)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every lesson proves H5."""
    if item.path.suffix == ".md":
        item.add_marker(pytest.mark.behaviour("H5"))


pytest_collect_file = Sybil(
    parsers=[steps], patterns=["[0-9][0-9]-*.md"], excludes=["*.*.md"], fixtures=["weather"]
).pytest()


@pytest.fixture(scope="session")
def weather(weather: Any) -> Any:
    """The demo as `meshctl demo` leaves it, which is where lessons begin."""
    weather.follow("canary-90-10")
    return weather
