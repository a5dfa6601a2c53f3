"""H3: after a failure everything that a person needs lies in one folder."""

import json
from pathlib import Path

import pytest

from pytest_mesh.collecting import collect, folder_name
from pytest_mesh.demo import Weather

pytestmark = pytest.mark.behaviour("H3")


def test_all_of_it_is_collected(weather: Weather, tmp_path: Path) -> None:
    weather.client.get("http://forecast:3002/forecast")
    folder = collect(weather.mesh, tmp_path / folder_name("e2e/test_x.py::test_y[a b]"))
    assert folder.name == "test_x.py-test_y-a-b"
    pod = weather.pod("forecast", "v1")
    logs = folder / "logs" / pod.namespace / pod.name
    assert {file.name for file in logs.iterdir()} == {f"{name}.log" for name in pod.containers}
    dump = json.loads((folder / "proxies" / pod.id / "config_dump.json").read_text())
    assert any("ListenersConfigDump" in each["@type"] for each in dump["configs"])
    states = json.loads((folder / "pilot" / "syncz.json").read_text())
    assert pod.id in {each["proxy"] for each in states}
    assert f"Pod {pod.namespace}/{pod.name}" in (folder / "events.txt").read_text()
    assert pod.name in {each["metadata"]["name"] for each in json.loads((folder / "pods.json").read_text())}
    assert not list(folder.rglob("*.missing"))


def test_what_cannot_be_had_says_why(weather: Weather, tmp_path: Path) -> None:
    from pytest_mesh.collecting import write

    write(tmp_path / "a" / "b.json", lambda: weather.client.pod.run("nobody", "true"))
    (file,) = (tmp_path / "a").iterdir()
    assert file.name == "b.json.missing"
    assert "nobody" in file.read_text()
