"""M4: a static file is a registry, and several registries are one."""

import asyncio
import os
from pathlib import Path

import pytest

from mesh.registry.aggregate import AggregateRegistry
from mesh.registry.static import RegistryFileProblem, StaticRegistry

pytestmark = pytest.mark.behaviour("M4")
FILE = """
services:
  - name: {name}
    addresses: [10.0.0.1]
    ports: [{{number: 80, name: http}}]
    instances:
      - {{address: {address}, ports: {{80: 9080}}, labels: {{version: v1}}}}
"""


def registry(path: Path, name: str, address: str) -> StaticRegistry:
    path.write_text(FILE.format(name=name, address=address))
    return StaticRegistry(path)


def test_a_file_gives_services_instances_and_workloads(tmp_path: Path) -> None:
    found = registry(tmp_path / "a.yaml", "a", "127.0.0.5")
    found.read()
    host = "a.default.svc.cluster.local"
    (instance,) = found.instances()[host, 80]
    assert (instance.address, instance.port, instance.labels["version"]) == ("127.0.0.5", 9080, "v1")
    assert found.workloads()["127.0.0.5"].namespace == "default"


def test_a_service_that_leaves_the_file_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    found = registry(file, "a", "127.0.0.5")
    found.read()
    file.write_text("services: []")
    os.utime(file, (1, 1))
    found.read()
    assert not found.services() and not found.instances() and not found.workloads()


def test_a_wrong_file_is_refused_with_its_field(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("services: [{nam: a}]")
    with pytest.raises(RegistryFileProblem, match=r"services\.0\.nam"):
        asyncio.run(StaticRegistry(file).run())


def test_registries_together_know_what_each_knows(tmp_path: Path) -> None:
    one, two = registry(tmp_path / "a", "a", "127.0.0.5"), registry(tmp_path / "b", "a", "127.0.0.6")
    one.read()
    two.read()
    both = AggregateRegistry([one, two])
    assert set(both.workloads()) == {"127.0.0.5", "127.0.0.6"}
    assert [i.address for i in both.instances()["a.default.svc.cluster.local", 80]] == [
        "127.0.0.5",
        "127.0.0.6",
    ]
