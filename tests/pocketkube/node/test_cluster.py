"""The embedded cluster from outside: start, find, the way in, and that nothing is left however it ends."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pocketkube.embedded import ClusterError, EmbeddedCluster
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("H1")

NAME = "under-test"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own, and no cluster left at its end."""
    folder = tmp_path / "state"
    monkeypatch.setenv("MESHWRIGHT_HOME", str(folder))
    yield folder
    EmbeddedCluster.remove(NAME)


class Client:
    """Just enough of a Kubernetes client."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        config = json.loads(cluster.kubeconfig.read_text())
        self._server = config["clusters"][0]["cluster"]["server"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["authorization"] = "Bearer " + config["users"][0]["user"]["token"]
        ca = cluster.kubeconfig.with_name("test-ca.pem")
        ca.write_bytes(base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]))
        self._session.verify = str(ca)

    def text(self, method: str, path: str, body: Any = None) -> str:
        answer = self._session.request(method, self._server + path, json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.text

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(self.text(method, path, body))

    def until(self, path: str, check: Any) -> Any:
        """The object at `path` once `check` holds for it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.ask("GET", path)
            if check(found):
                return found
        raise AssertionError(f"{path}: {json.dumps(found, indent=1)}")


def supervisor(cluster: EmbeddedCluster) -> int:
    return int(json.loads(cluster.kubeconfig.with_name("supervisor.json").read_text())["pid"])


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, through PID namespaces too; one that ends meanwhile has none."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [*children, *(found for child in children for found in descendants(child))]


def wait_gone(pids: list[int]) -> list[int]:
    """Those of `pids` that are still there after a while."""
    left = []
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        if not select.select([process], [], [], 60)[0]:
            left.append(pid)
        os.close(process)
    return left


def a_pod(name: str, script: str = "sleep 1000 & setsid sleep 1000 & wait") -> dict[str, Any]:
    container = {"name": "main", "image": "pocketkube/tools", "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }


def with_a_pod() -> tuple[EmbeddedCluster, list[int]]:
    """A cluster with a running Pod, and all processes of it."""
    cluster = EmbeddedCluster.start(NAME)
    client = Client(cluster)
    client.until("/api/v1/namespaces/default", lambda found: True)
    client.ask("POST", "/api/v1/namespaces/default/pods", a_pod("web"))
    client.until("/api/v1/namespaces/default/pods/web", lambda pod: pod["status"].get("phase") == "Running")
    pids = [supervisor(cluster), *descendants(supervisor(cluster))]
    assert len(pids) >= 5
    return cluster, pids


def test_a_cluster_starts_is_found_and_leaves_nothing(home: Path) -> None:
    said: list[str] = []
    cluster = EmbeddedCluster.start(NAME, progress=said.append)
    assert Client(cluster).ask("GET", "/version")["major"] == "1"
    assert EmbeddedCluster.find(NAME) is not None
    pids = [supervisor(cluster), *descendants(supervisor(cluster))]
    cluster.stop()
    assert wait_gone(pids) == []
    assert not home.exists()
    assert EmbeddedCluster.find(NAME) is None
    assert said[-1] == "the API server answers"


@pytest.mark.parametrize("victim", [0, 1])
def test_killing_supervisor_or_first_process_ends_everything(home: Path, victim: int) -> None:
    _cluster, pids = with_a_pod()
    os.kill(pids[victim], signal.SIGKILL)
    assert wait_gone(pids) == []
    assert EmbeddedCluster.find(NAME) is None
    assert [entry.name for entry in home.iterdir()] == [NAME], "the state folder remains"
    mounts = Path("/proc/self/mounts").read_text()
    assert str(home) not in mounts
    again = EmbeddedCluster.start(NAME)
    assert Client(again).ask("GET", "/api/v1/namespaces/default/pods")["items"] == []


def test_a_second_start_is_refused_and_disturbs_nothing() -> None:
    cluster = EmbeddedCluster.start(NAME)
    with pytest.raises(ClusterError, match=r"already running.*meshctl down"):
        EmbeddedCluster.start(NAME)
    assert Client(cluster).ask("GET", "/version")


def test_two_clusters_run_beside_each_other() -> None:
    first = EmbeddedCluster.start(NAME)
    second = EmbeddedCluster.start(NAME + "-2")
    try:
        for cluster in (first, second):
            client = Client(cluster)
            client.ask("POST", "/api/v1/namespaces/default/pods", a_pod("web"))
            pod = client.until("/api/v1/namespaces/default/pods/web", lambda pod: pod["status"].get("podIP"))
            assert pod["status"]["podIP"].startswith("198.18.")
    finally:
        second.stop()
    assert Client(first).ask("GET", "/version")


SERVER = "echo hello > /tmp/index.html; cd /tmp; exec python -m http.server 8000"


def test_a_load_balancer_is_reached_from_the_host() -> None:
    port = free_port()
    cluster = EmbeddedCluster.start(NAME, gateway_port=port)
    client = Client(cluster)
    client.ask("POST", "/api/v1/namespaces/default/pods", a_pod("web", SERVER))
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {
            "type": "LoadBalancer",
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8000}, {"name": "other", "port": 81}],
        },
    }
    client.ask("POST", "/api/v1/namespaces/default/services", service)
    found = client.until(
        "/api/v1/namespaces/default/services/web",
        lambda found: "pocketkube.dev/host-ports" in found["metadata"].get("annotations", {}),
    )
    ports = json.loads(found["metadata"]["annotations"]["pocketkube.dev/host-ports"])
    assert ports["80"] == port
    assert ports["81"] > 0
    assert _fetch(port) == "hello\n"


def _fetch(port: int) -> str:
    deadline = time.monotonic() + 60
    session = requests.Session()
    session.trust_env = False
    while True:
        try:
            return session.get(f"http://127.0.0.1:{port}/index.html", timeout=30).text
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise


def test_a_taken_gateway_port_is_named_with_the_remedy(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} .*--gateway-port"):
            EmbeddedCluster.start(NAME, gateway_port=port)
    assert not home.exists()


def test_a_host_outside_the_cluster() -> None:
    cluster = EmbeddedCluster.start(NAME)
    host = cluster.outside("bank.example.com", ["sh", "-c", "echo started; sleep 1000"])
    done = host.run(["sh", "-c", "hostname; echo problem >&2; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "bank\n", "problem\n")
    assert host.address.startswith("198.18.250.")
    with pytest.raises(ClusterError, match="is there already"):
        cluster.outside("bank.example.com")
    host.stop()
    with pytest.raises(ClusterError, match=r"no outside host 'bank\.example\.com'"):
        host.run(["true"])


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "-a", "a" * 50])
def test_a_name_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="lower-case letters"):
        EmbeddedCluster(name)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is part of util-linux")
def test_without_the_privilege_the_message_says_what_to_do(home: Path) -> None:
    without = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    program = (
        "from pocketkube.embedded import *\n"
        "try: EmbeddedCluster.start('x')\n"
        "except ClusterError as error: print(error)\n"
    )
    done = subprocess.run(
        [*without, sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "--privileged" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not home.exists()


IN_CLUSTER = """
import json, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
request = urllib.request.Request("https://kubernetes.default/api/v1/namespaces/default/pods")
request.add_header("Authorization", "Bearer " + open(folder + "token").read())
context = ssl.create_default_context(cafile=folder + "ca.crt")
try:
    pods = json.load(urllib.request.urlopen(request, context=context))
    print([pod["metadata"]["name"] for pod in pods["items"]], open(folder + "namespace").read())
except urllib.error.HTTPError as error:
    print(json.load(error)["message"])
"""
RBAC = "rbac.authorization.k8s.io"
READER = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}
BOUND = {
    "metadata": {"name": "r"},
    "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "r"},
    "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
}


def test_a_pod_reaches_the_api_by_its_account_and_may_what_its_roles_say() -> None:
    cluster = EmbeddedCluster.start(NAME)
    client = Client(cluster)
    assert said_by(client, "before").startswith("pods is forbidden: User")
    for plural, item in (("roles", READER), ("rolebindings", BOUND)):
        client.ask("POST", f"/apis/{RBAC}/v1/namespaces/default/{plural}", item)
    assert said_by(client, "inside") == "['before', 'inside'] default\n"


def said_by(client: Client, name: str) -> str:
    """What a Pod prints that asks the API for Pods."""
    pod = a_pod(name)
    pod["spec"] = {
        "restartPolicy": "Never",
        "containers": [
            {"name": "main", "image": "pocketkube/tools", "command": ["python", "-c", IN_CLUSTER]}
        ],
    }
    client.ask("POST", "/api/v1/namespaces/default/pods", pod)
    path = f"/api/v1/namespaces/default/pods/{name}"
    client.until(path, lambda found: found["status"].get("phase") in ("Succeeded", "Failed"))
    return client.text("GET", path + "/log")


CHROOT = """
set -e
for path in /*; do
  inside=$ROOT$path
  if [ -L "$path" ]; then cp -P "$path" "$inside"
  elif [ -d "$path" ]; then
    mkdir -p "$inside"
    case $path in /tmp|/sys) ;; *) mount --rbind "$path" "$inside";; esac
  fi
done
exec env MESHWRIGHT_HOME=/tmp/state chroot "$ROOT" "$PYTHON" -c "$PROGRAM"
"""
RUNS_A_POD = """
from pocketkube.embedded import EmbeddedCluster
cluster = EmbeddedCluster.start("x")
host = cluster.outside("a.example")
print(host.run(["sh", "-c", "ls /tmp; hostname"]).stdout)
cluster.stop()
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is part of util-linux")
def test_a_cluster_runs_in_a_chroot(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    variables = {
        "ROOT": str(root),
        "PYTHON": sys.executable,
        "PROGRAM": RUNS_A_POD,
        "PATH": os.environ["PATH"],
    }
    argv = ["unshare", "--mount", "bash", "-c", CHROOT]
    done = subprocess.run(argv, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["a"], done.stderr
