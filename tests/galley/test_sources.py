"""G1, G2: configuration from a real API server and from files."""

import asyncio
import os
from pathlib import Path

import pytest

from mesh.galley.source.files import FileSource
from mesh.galley.source.kubernetes import KubernetesSource
from mesh.model import ObjectKey
from tests import loops
from tests.galley.rig import with_kinds
from tests.galley.test_store import rule
from tests.live import client_of, running, until
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("G2")


def test_objects_of_a_cluster_are_listed_watched_and_forgotten(served: Served) -> None:
    namespace = served.namespace()
    key = ObjectKey("DestinationRule", namespace, "forecast")
    resource = "destinationrules.networking.istio.io"

    async def test() -> None:
        await with_kinds(served)
        first = rule("", namespace=namespace)
        first["metadata"].pop("resourceVersion")
        await asyncio.to_thread(served.run, served.api.create(resource, first, namespace))
        async with client_of(served.kubeconfig) as client:
            source = KubernetesSource(client)
            async with running(source):
                assert source.objects()[key].spec.host == "forecast"
                patch = {"spec": {"host": "other"}}
                await asyncio.to_thread(served.run, served.api.patch(resource, "forecast", namespace, patch))
                await until(lambda: source.objects()[key].spec.host == "other", "the change")
                await asyncio.to_thread(served.run, served.api.delete(resource, "forecast", namespace))
                await until(lambda: key not in source.objects(), "the end")

    loops.run(test())


def test_files_are_read_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "rule.yaml"
    key = ObjectKey("DestinationRule", "default", "a")
    text = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: HOST}\n"
    )
    write(file, text.replace("HOST", "first"), 1)
    source = FileSource([tmp_path])
    source.read()
    assert source.objects()[key].spec.host == "first"
    write(file, text.replace("HOST", "'a b'"), 2)
    source.read()
    assert source.objects()[key].spec.host == "first"
    assert "a b" in str(source.rejected(key))
    write(file, "a: [", 3)
    source.read()
    assert source.objects()[key].spec.host == "first"
    assert "not YAML" in str(source.problems[file])
    file.unlink()
    source.read()
    assert key not in source.objects()


def write(file: Path, text: str, stamp: int) -> None:
    """Write a file with a time of change of its own, however fast the test is."""
    file.write_text(text)
    os.utime(file, (stamp, stamp))
