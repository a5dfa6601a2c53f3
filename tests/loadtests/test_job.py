"""The Job that runs Locust in a Pod, as an API server would take it; and what starts Locust in there."""

import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from loadtests.job import RUN, Load, objects
from loadtests.locustfiles import OURS, NoLocustfileError, locustfile
from loadtests.verb import app, url_first

pytestmark = pytest.mark.behaviour("H4")


def load(**fields: Any) -> Load:
    values: dict[str, Any] = {
        "name": "load",
        "namespace": "weather",
        "image": "some/image:1",
        "locustfile": OURS["http"],
        "host": "http://frontend:3000",
        "users": 7,
        "spawn_rate": 2.5,
        "seconds": 30,
    }
    return Load(**(values | fields))


@pytest.mark.parametrize("workers", [0, 3])
def test_an_api_server_takes_them(workers: int) -> None:
    made = objects(load(workers=workers))
    for each in made:
        kubernetes_validate.validate(each, "1.32", strict=True)
    assert [each["kind"] for each in made] == ["ConfigMap", "Job", "Service", "Job"][: 4 if workers else 2]


def test_workers_find_their_master() -> None:
    _, master, service, workers = objects(load(workers=3))
    assert service["spec"]["selector"].items() <= master["spec"]["template"]["metadata"]["labels"].items()
    command = workers["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[-2:] == ["--master-host", service["metadata"]["name"]]
    assert (workers["spec"]["parallelism"], workers["spec"]["completions"]) == (3, 3)
    assert "--expect-workers=3" in master["spec"]["template"]["spec"]["containers"][0]["command"]


def test_a_job_ends_whatever_happens_and_waits_for_its_proxy() -> None:
    _, job = objects(load())
    assert job["spec"]["activeDeadlineSeconds"] > 30
    assert job["spec"]["backoffLimit"] == 0
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert yaml.safe_load(annotations["proxy.istio.io/config"]) == {"holdApplicationUntilProxyStarts": True}


def test_the_printed_manifest_is_the_whole_and_options_are_handed_on() -> None:
    result = CliRunner().invoke(app, ["job", "-u", "9", "--name", "mine", "--tags", "slow"])
    assert result.exit_code == 0, result.output
    files, job = yaml.safe_load_all(result.output)
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[-2:] == ["--tags", "slow"]
    assert "--users=9" in command
    assert f"/load/{OURS['http'].name}" in command
    assert files["data"] == {path.name: path.read_text() for path in (OURS["http"], RUN)}


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("# mine\n")
    assert objects(load(locustfile=locustfile(str(mine))))[0]["data"]["mine.py"] == "# mine\n"
    with pytest.raises(NoLocustfileError, match="no Locust file 'other'") as error:
        locustfile("other")
    assert "http, grpc" in error.value.remedy


def test_what_to_ask_comes_first_or_not_at_all() -> None:
    assert url_first(["/x", "-d", "5"]) == ("/x", ["-d", "5"])
    assert url_first(["-d", "5"]) == ("/api/weather", ["-d", "5"])
    assert url_first([]) == ("/api/weather", [])


def started(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(RUN), sys.executable, "-u", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_programs_code_is_the_pods_and_without_a_sidecar_nobody_is_sent_home() -> None:
    with started("import sys; print('hello'); sys.exit(3)") as process:
        output, said = process.communicate(timeout=60)
    assert (process.returncode, output) == (3, "hello\n")
    assert "no sidecar to send home" in said
    assert "Traceback" not in said


def test_the_end_of_the_pod_reaches_the_program() -> None:
    script = "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(5))\nprint('ready')\nsignal.pause()"
    with started(script) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 5


def test_the_image_that_it_runs_in_has_locust() -> None:
    """On a cluster of containers there is nothing but what the image was built with."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "locust" in project["tool"]["meshwright"]["images"]["weather"]["requires"]
