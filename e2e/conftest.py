"""What stands for the whole run beside the demo: neighbours, outsiders, servers outside the mesh."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import weather as demo
from e2e.mixer import Mixer, Prometheus
from e2e.security import nothing_crashes, one_request_each, tls_secret
from pytest_mesh.authority import Authority
from pytest_mesh.demo import Weather
from pytest_mesh.mesh import Mesh
from pytest_mesh.pods import Pod
from pytest_mesh.traffic import PodClient

EXTRA = demo.FOLDER / "extra"
Run = subprocess.CompletedProcess[str]
Command = Callable[..., Run]
OUTSIDE = "outside.example"


@pytest.fixture(scope="session")
def plain(weather: Weather) -> Iterator[PodClient]:
    """A client without a sidecar, in a namespace without injection."""
    with weather.mesh.standing(EXTRA / "plain.yaml"):
        yield PodClient(weather.mesh.pod("plain", app="client"))


@pytest.fixture(scope="session")
def neighbour(weather: Weather) -> Iterator[PodClient]:
    """A client with a sidecar in another namespace: `spiffe://cluster.local/ns/neighbour/sa/client`."""
    with weather.mesh.standing(EXTRA / "neighbour.yaml"):
        yield PodClient(weather.mesh.pod("neighbour", app="client"))


@dataclass(frozen=True, slots=True)
class Outside:
    """Servers outside the mesh. The echo's certificate is good for its Service and for `outside.example`."""

    authority: Authority
    mesh: Mesh
    host: str = "outside.outside.svc.cluster.local"

    @property
    def pod(self) -> Pod:
        """The echo server, as it is now."""
        return self.mesh.pod("outside", app="outside")

    @property
    def shelf(self) -> Pod:
        """Keeps what is put there."""
        return self.mesh.pod("outside", app="shelf")

    def put(self, path: str, content: Any, *, status: int = 200) -> str:
        """Lay JSON on the shelf; the URL at which the cluster finds it."""
        self.shelf.request("PUT", 8085, f"{path}?status={status}", content)
        return f"http://shelf.outside.svc.cluster.local:8085{path}"


@pytest.fixture(scope="session")
def outside_servers(weather: Weather) -> Iterator[Outside]:
    """An echo server with TLS and a shelf, in namespace `outside`, which has no sidecars."""
    mesh, authority = weather.mesh, Authority.new("the authority outside")
    names = ("outside", "outside.outside.svc.cluster.local", OUTSIDE)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outside"}}
    pair = authority.issue(*names)
    with (
        mesh.standing(space, tls_secret("outside-tls", "outside", pair, ca_crt=authority.pem)),
        mesh.standing(EXTRA / "outside.yaml", EXTRA / "guard.yaml"),
    ):
        yield Outside(authority, mesh)


@pytest.fixture(scope="module")
def echo_server(weather: Weather) -> Iterator[None]:
    """A server in the mesh that says what arrived; sidecars make a connection to it for each request.

    A changed policy holds for new connections at once, and for those of before when they have drained.
    """
    mesh = weather.mesh
    with mesh.undoing():
        mesh.apply(one_request_each("echo"))
        mesh.apply(EXTRA / "echo.yaml")
        yield


@pytest.fixture
def echo(weather: Weather, echo_server: None) -> Pod:
    """Its Pod, as it is now."""
    return weather.mesh.pod("weather", app="echo")


@pytest.fixture(scope="session")
def mixer(weather: Weather) -> Iterator[Mixer]:
    """istio-policy and istio-telemetry."""
    found = Mixer(weather.mesh)
    yield found
    found.close()


@pytest.fixture(scope="module")
def fresh_connections(weather: Weather) -> Iterator[None]:
    """Sidecars make a connection for each request: changed rules hold for new connections at once."""
    with weather.mesh.undoing():
        for app in ("forecast", "advertisement", "recommendation", "frontend"):
            weather.mesh.apply(one_request_each(app), wait=False)
        weather.mesh.settle()
        yield


@pytest.fixture(scope="session")
def backends(weather: Weather, prometheus_image: str) -> Iterator[None]:
    """Redis, a logbook for fluentd, and Prometheus, in namespace `backends`, which has no sidecars."""
    with weather.mesh.standing(EXTRA / "backends.yaml", EXTRA / "prometheus.yaml"):
        yield


@pytest.fixture(scope="session")
def prometheus(weather: Weather, backends: None) -> Prometheus:
    """A real one, which scrapes istio-telemetry."""
    return Prometheus(weather.mesh)


@pytest.fixture
def steady(weather: Weather) -> Iterator[None]:
    """Whatever the test does, nothing is restarted by it."""
    with nothing_crashes(weather.mesh):
        yield


@pytest.fixture
def meshctl(weather: Weather, meshctl_alone: Command) -> Command:
    """Run `meshctl` on this mesh."""
    kubeconfig = str(weather.mesh.cluster.kubeconfig)

    def run(*arguments: str, stdin: str = "") -> Run:
        return meshctl_alone(*arguments, "--kubeconfig", kubeconfig, stdin=stdin)

    return run


@pytest.fixture
def meshctl_alone() -> Command:
    """Run `meshctl` without a cluster."""

    def run(*arguments: str, stdin: str = "") -> Run:
        command = [sys.executable, "-m", "mesh.cli.main", *arguments]
        result = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=120
        )
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def kubectl(weather: Weather) -> Command:
    """Run the real kubectl on this cluster."""
    program = str(Path(sys.executable).with_name("kubectl"))
    kubeconfig = str(weather.mesh.cluster.kubeconfig)

    def run(*arguments: str, stdin: str = "") -> Run:
        command = [program, "--kubeconfig", kubeconfig, *arguments]
        return subprocess.run(
            command, input=stdin or None, capture_output=True, text=True, check=False, timeout=60
        )

    return run
