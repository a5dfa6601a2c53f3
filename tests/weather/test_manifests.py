"""Manifests and rules are plain YAML, and agree with the code that they start."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import weather
from weather.images import IMAGES
from weather.main import SERVICES
from weather.settings import PORTS

pytestmark = pytest.mark.behaviour("W1")
FILES = sorted(weather.FOLDER.rglob("*.yaml"))
BACKENDS = {"prometheus", "redis"}
"""Programs of others."""

EXTRA = {"plain", "neighbour", "outside", "backends"}
FOR_ALL = {"trace-all.yaml": {"istio-system"}}
"""Rules for the whole mesh are in its own namespace."""


def documents() -> list[dict[str, Any]]:
    return [document for file in FILES for document in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_object_names_its_namespace(file: Path) -> None:
    further = EXTRA if file.parent.name == "extra" else FOR_ALL.get(file.name, set())
    allowed = {weather.NAMESPACE} | further
    for document in yaml.safe_load_all(file.read_text()):
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] in allowed


def test_deployments_start_what_there_is_on_the_port_it_has() -> None:
    made = [document for document in documents() if document["kind"] == "Deployment"]
    deployments = [each for each in made if each["metadata"]["name"] not in BACKENDS]
    assert len(made) - len(deployments) == len(BACKENDS)
    assert len(deployments) == 13
    for deployment in deployments:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"] in IMAGES
        (service,) = container["args"]
        assert service in SERVICES
        assert PORTS[service] in [port["containerPort"] for port in container["ports"]]


def test_nobody_wrote_a_sidecar_into_the_manifests() -> None:
    assert not any("istio-proxy" in file.read_text() for file in FILES)
