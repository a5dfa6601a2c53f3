"""The unmodified kubectl against the embedded cluster, verb by verb, as its users type it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pocketkube.embedded import EmbeddedCluster

pytestmark = pytest.mark.behaviour("H1")

KUBECTL = Path(sys.executable).with_name("kubectl")
TIMEOUT = "--timeout=30s"

ANSWERS = """
import socket, time
while True:
    try:
        socket.create_connection(("127.0.0.1", 8000)).close()
        break
    except OSError:
        time.sleep(0.02)
"""
"""Run in a Pod: ends when something there listens on port 8000."""
WEB = """
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: web
      labels: {app: web}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
            - name: main
              image: pocketkube/tools
              command: [sh, -c, "echo hello from $GREETER; trap 'exit 0' TERM; sleep 600 & wait"]
              env: [{name: GREETER, value: first}]
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: web}
    spec:
      selector: {app: web}
      ports: [{name: http, port: 80, targetPort: 8080}]
"""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl in a namespace of the test's own."""

    environment: dict[str, str]
    folder: Path
    namespace: str = "default"

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What it prints; the test fails if kubectl does."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str, stdin: str = "") -> str:
        """What it says when it fails; the test fails if it does not."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode, f"kubectl {' '.join(arguments)} succeeded: {done.stdout}"
        return done.stderr

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """The whole outcome."""
        return subprocess.run(
            self._command(*arguments),
            input=stdin, env=self.environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it, to be read while it runs."""
        return subprocess.Popen(
            self._command(*arguments),
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def apply(self, manifest: str, *arguments: str) -> str:
        """Apply YAML, indented or not."""
        return self("apply", "-f", "-", *arguments, stdin=textwrap.dedent(manifest))

    def json(self, *arguments: str) -> Any:
        """What `get -o json` prints."""
        return json.loads(self("get", *arguments, "-o", "json"))

    def up(self, manifest: str = WEB) -> None:
        """Apply a manifest and wait until its Deployment `web` is rolled out."""
        self.apply(manifest)
        self("rollout", "status", "deployment/web", TIMEOUT)

    def sleeper(self, name: str, command: str = "sleep 600") -> None:
        """A ready Pod that runs a shell command and needs no time to end."""
        self.apply(f"""
            apiVersion: v1
            kind: Pod
            metadata: {{name: {name}}}
            spec:
              terminationGracePeriodSeconds: 0
              volumes: [{{name: data, emptyDir: {{}}}}]
              containers:
                - name: main
                  image: pocketkube/tools
                  command: [sh, -c, {json.dumps(command)}]
                  volumeMounts: [{{name: data, mountPath: /data}}]
        """)
        self("wait", "--for=condition=Ready", f"pod/{name}", TIMEOUT)

    def pods(self) -> list[str]:
        """The names of the Pods that are not on the way out."""
        items = self.json("pods")["items"]
        return [item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]]

    def _command(self, *arguments: str) -> list[str]:
        return [str(KUBECTL), "--namespace", self.namespace, *arguments]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """A cluster of this module's own, under a name and in a state folder that nobody else has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESHWRIGHT_HOME", str(tmp_path_factory.mktemp("state")))
        try:
            yield EmbeddedCluster.start("kubectl-under-test")
        finally:
            EmbeddedCluster.remove("kubectl-under-test")


@pytest.fixture
def kubectl(cluster: EmbeddedCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Kubectl in a fresh namespace, which goes with the test."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:60].strip("-")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cluster.kubeconfig.parent),  # its discovery cache is shared by the module's tests
        "KUBECONFIG": str(cluster.kubeconfig),
    }
    made = Kubectl(environment, tmp_path, name)
    made("create", "namespace", name)
    yield made
    made("delete", "namespace", name, "--wait=false")


# get


def test_get_prints_tables(kubectl: Kubectl) -> None:
    kubectl.up()
    header, *rows = kubectl("get", "pods").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row.split()[1:4] for row in rows] == [["1/1", "Running", "0"]] * 2
    wide = kubectl("get", "pods", "-o", "wide")
    assert "pocket-1" in wide
    assert "pocket-2" in wide
    assert "198.18." in wide
    assert kubectl("get", "deployment", "web", "--no-headers").split()[:4] == ["web", "2/2", "2", "2"]
    assert kubectl("get", "service", "web", "--no-headers").split()[1] == "ClusterIP"


def test_get_all_knows_the_usual_kinds(kubectl: Kubectl) -> None:
    kubectl.up()
    names = set(kubectl("get", "all", "-o", "name").split())
    assert {name.partition("/")[0] for name in names} == {
        "pod",
        "service",
        "deployment.apps",
        "replicaset.apps",
    }


def test_get_selects_and_sorts(kubectl: Kubectl) -> None:
    for name, tier in (("b", "front"), ("a", "back"), ("c", "front")):
        kubectl("create", "configmap", name, f"--from-literal=tier={tier}")
        kubectl("label", "configmap", name, f"tier={tier}")
    assert kubectl("get", "cm", "-l", "tier=front", "-o", "name").split() == ["configmap/b", "configmap/c"]
    assert kubectl("get", "cm", "-l", "tier in (back)", "-o", "name").split() == ["configmap/a"]
    assert kubectl("get", "cm", "--field-selector=metadata.name=a", "-o", "name").split() == ["configmap/a"]
    columns = kubectl(
        "get",
        "cm",
        "-l",
        "tier",
        "-o",
        "custom-columns=N:.metadata.name,T:.data.tier",
        "--sort-by=.data.tier",
    )
    assert [line.split() for line in columns.splitlines()] == [
        ["N", "T"],
        ["a", "back"],
        ["b", "front"],
        ["c", "front"],
    ]
    assert "front" in kubectl("get", "cm", "b", "-L", "tier")


def test_get_of_all_namespaces(kubectl: Kubectl) -> None:
    found = kubectl("get", "serviceaccounts", "-A", "--no-headers").splitlines()
    assert [kubectl.namespace, "default"] in [line.split()[:2] for line in found]


def test_get_of_what_is_not_there(kubectl: Kubectl) -> None:
    assert kubectl.run("get", "pods").stderr == f"No resources found in {kubectl.namespace} namespace.\n"
    assert 'pods "nobody" not found' in kubectl.fails("get", "pod", "nobody")
    assert "doesn't have a resource type" in kubectl.fails("get", "unicorns")
    assert kubectl("get", "pod", "nobody", "--ignore-not-found") == ""


def test_get_watches(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=pocketkube/tools", "--replicas=0")
    with kubectl.begin("get", "deployment", "web", "--watch") as watch:
        assert watch.stdout
        assert watch.stdout.readline().split()[0] == "NAME"
        assert watch.stdout.readline().split()[1] == "0/0"
        kubectl("scale", "deployment", "web", "--replicas=1")
        assert watch.stdout.readline().split()[1] == "0/1"
        watch.terminate()


def test_every_kind_can_be_listed(kubectl: Kubectl) -> None:
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    assert len(kinds) > 30
    kubectl("get", ",".join(kinds), "-A")


# apply


def test_apply_creates_and_then_changes_nothing(kubectl: Kubectl) -> None:
    assert kubectl.apply(WEB).splitlines() == ["deployment.apps/web created", "service/web created"]
    assert kubectl.apply(WEB).splitlines() == ["deployment.apps/web unchanged", "service/web unchanged"]


def test_apply_changes(kubectl: Kubectl) -> None:
    kubectl.up()
    before = kubectl.pods()
    changed = WEB.replace("value: first", "value: second").replace("replicas: 2", "replicas: 1")
    assert kubectl.apply(changed).splitlines() == ["deployment.apps/web configured", "service/web unchanged"]
    kubectl("rollout", "status", "deployment/web", TIMEOUT)
    after = kubectl.pods()
    assert len(after) == 1
    assert not set(before) & set(after)
    assert kubectl("logs", after[0]) == "hello from second\n"


def test_apply_takes_away_what_the_manifest_no_longer_has(kubectl: Kubectl) -> None:
    settings = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings, labels: {one: "1", two: "2"}}
        data: {a: "1", b: "2"}
    """
    kubectl.apply(settings)
    kubectl("label", "configmap", "settings", "three=3")
    kubectl.apply(settings.replace(', two: "2"', "").replace(', b: "2"', ""))
    found = kubectl.json("configmap", "settings")
    assert found["data"] == {"a": "1"}
    assert found["metadata"]["labels"] == {"one": "1", "three": "3"}


def test_apply_merges_lists_by_their_keys(kubectl: Kubectl) -> None:
    kubectl.apply(WEB)
    kubectl("set", "env", "deployment/web", "ADDED=yes")
    kubectl.apply(WEB.replace("value: first", "value: second"))
    containers = kubectl.json("deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert {entry["name"]: entry["value"] for entry in containers[0]["env"]} == {
        "GREETER": "second",
        "ADDED": "yes",
    }


def test_apply_on_the_server(kubectl: Kubectl) -> None:
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {owner: us}\n"
    kubectl("apply", "--server-side", "--field-manager=us", "-f", "-", stdin=settings)
    theirs = settings.replace("us", "them")
    refusal = kubectl.fails("apply", "--server-side", "--field-manager=them", "-f", "-", stdin=theirs)
    assert 'conflict with "us"' in refusal
    assert ".data.owner" in refusal
    kubectl("apply", "--server-side", "--field-manager=them", "--force-conflicts", "-f", "-", stdin=theirs)
    assert kubectl.json("configmap", "settings")["data"] == {"owner": "them"}


def test_apply_of_a_folder_and_a_kustomization(kubectl: Kubectl) -> None:
    (kubectl.folder / "settings.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"
    )
    kubectl("apply", "-f", str(kubectl.folder))
    (kubectl.folder / "kustomization.yaml").write_text("resources: [settings.yaml]\nnamePrefix: my-\n")
    assert kubectl("apply", "-k", str(kubectl.folder)) == "configmap/my-settings created\n"


def test_apply_as_a_trial_and_diff(kubectl: Kubectl) -> None:
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: before}\n"
    kubectl.apply(settings, "--dry-run=server")
    assert kubectl("get", "configmap", "settings", "--ignore-not-found") == ""
    kubectl.apply(settings)
    difference = kubectl.run("diff", "-f", "-", stdin=settings.replace("before", "after"))
    assert difference.returncode == 1
    assert "-  a: before" in difference.stdout
    assert "+  a: after" in difference.stdout


@pytest.mark.parametrize(
    ("wrong", "right", "complaints"),
    [
        ("replicaz: 2", "replicas: 2", ["unknown field", "spec.replicaz"]),
        ("replicas: two", "replicas: 2", ["replicas"]),
        ("matchLabels: {app: other}", "matchLabels: {app: web}", ["spec.template.metadata.labels"]),
        ("targetPort: 99999", "targetPort: 8080", ["spec.ports[0].targetPort", "65535"]),
        ("kind: Sevice", "kind: Service", ["no matches for kind", "Sevice"]),
    ],
)  # fmt: skip
def test_apply_names_what_is_wrong(kubectl: Kubectl, wrong: str, right: str, complaints: list[str]) -> None:
    refusal = kubectl.fails("apply", "-f", "-", stdin=textwrap.dedent(WEB.replace(right, wrong)))
    assert all(words in refusal for words in complaints), refusal


def test_apply_of_a_kind_of_ones_own(kubectl: Kubectl) -> None:
    definition = """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: wishes.example.com}
        spec:
          group: example.com
          scope: Namespaced
          names: {plural: wishes, singular: wish, kind: Wish, listKind: WishList, shortNames: [w]}
          versions:
            - name: v1
              served: true
              storage: true
              additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
              schema:
                openAPIV3Schema:
                  type: object
                  properties: {spec: {type: object, properties: {size: {type: integer, minimum: 1}}}}
    """
    wish = "apiVersion: example.com/v1\nkind: Wish\nmetadata: {name: one}\nspec: {size: 3}\n"
    kubectl.apply(definition)
    kubectl("wait", "--for=condition=established", "crd/wishes.example.com", TIMEOUT)
    kubectl.apply(wish)
    assert kubectl("get", "w").split()[:3] == ["NAME", "SIZE", "one"]
    assert kubectl.apply(wish.replace("3", "4")) == "wish.example.com/one configured\n"
    assert "spec.size" in kubectl.fails("apply", "-f", "-", stdin=wish.replace("3", "0"))
    assert "spec.sice" in kubectl.fails("apply", "-f", "-", stdin=wish.replace("size", "sice"))
    assert "size" in kubectl("explain", "wish.spec")
    kubectl("delete", "crd", "wishes.example.com")
    kubectl.fails("get", "wishes")


# create, and small changes


def test_create_makes_the_usual_things(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=a=1")
    kubectl("create", "secret", "generic", "password", "--from-literal=word=secret")
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "deployment", "web", "--image=pocketkube/tools", "--", "sleep", "60")
    kubectl("create", "job", "once", "--image=pocketkube/tools", "--", "true")
    kubectl("expose", "deployment", "web", "--port=80")
    assert kubectl.json("configmap", "settings")["data"] == {"a": "1"}
    assert kubectl.json("secret", "password")["data"] == {"word": "c2VjcmV0"}
    assert kubectl("create", "token", "robot").count(".") == 2
    assert "already exists" in kubectl.fails("create", "serviceaccount", "robot")
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl.json("service", "web")["spec"]["selector"] == {"app": "web"}


def test_label_annotate_patch_edit_and_replace(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=a=1")
    kubectl("label", "cm", "settings", "tier=front")
    kubectl("annotate", "cm", "settings", "note=read me")
    kubectl("patch", "cm", "settings", "-p", '{"data": {"b": "2"}}')
    kubectl("patch", "cm", "settings", "--type=json", "-p", '[{"op": "remove", "path": "/data/a"}]')
    found = kubectl.json("cm", "settings")
    assert (found["metadata"]["labels"], found["data"]) == ({"tier": "front"}, {"b": "2"})
    assert found["metadata"]["annotations"]["note"] == "read me"
    editing = Kubectl(
        {**kubectl.environment, "KUBE_EDITOR": "sed -i s/front/back/"}, kubectl.folder, kubectl.namespace
    )
    editing("edit", "cm", "settings")
    found = kubectl.json("cm", "settings")
    assert found["metadata"]["labels"] == {"tier": "back"}
    found["data"] = {"c": "3"}
    kubectl("replace", "-f", "-", stdin=json.dumps(found))
    assert kubectl.json("cm", "settings")["data"] == {"c": "3"}
    assert "the object has been modified" in kubectl.fails("replace", "-f", "-", stdin=json.dumps(found))


# describe


def test_describe(kubectl: Kubectl) -> None:
    kubectl.up()
    pod = kubectl("describe", "pod", kubectl.pods()[0])
    for words in (
        "Controlled By:  ReplicaSet/web-",
        "Successfully assigned",
        "Started container main",
        "GREETER:  first",
    ):
        assert words in pod
    deployment = kubectl("describe", "deployment", "web")
    for words in (
        "2 desired | 2 updated | 2 total | 2 available",
        "NewReplicaSetAvailable",
        "ScalingReplicaSet",
    ):
        assert words in deployment
    service = kubectl("describe", "service", "web")
    assert re.search(r"Endpoints: +198\.18\.\d+\.\d+:8080,198\.18\.\d+\.\d+:8080", service)
    assert "Ready            True" in re.sub(
        " +", lambda found: found.group()[:12], kubectl("describe", "node", "pocket-1")
    )
    assert "Active" in kubectl("describe", "namespace", kubectl.namespace)


def test_describe_tells_why_a_pod_does_not_start(kubectl: Kubectl) -> None:
    kubectl("run", "lost", "--image=example.com/unknown:1")
    kubectl(
        "wait",
        "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
        "pod/lost",
        TIMEOUT,
    )
    told = kubectl("describe", "pod", "lost")
    assert "example.com/unknown:1" in told
    assert "pocketkube/tools" in told, "the remedy names the images that there are"


# delete


def test_delete_waits_until_the_pod_is_gone(kubectl: Kubectl) -> None:
    kubectl.sleeper("one")
    kubectl("delete", "pod", "one")
    assert kubectl("get", "pods", "-o", "name") == ""
    assert 'pods "one" not found' in kubectl.fails("delete", "pod", "one")
    kubectl("delete", "pod", "one", "--ignore-not-found")


def test_delete_takes_what_is_owned_along(kubectl: Kubectl) -> None:
    kubectl.up()
    kubectl("delete", "deployment", "web", "--cascade=foreground")
    assert kubectl("get", "replicasets,pods", "-o", "name") == ""


def test_delete_can_leave_orphans(kubectl: Kubectl) -> None:
    kubectl.up()
    before = kubectl.pods()
    kubectl("delete", "deployment", "web", "--cascade=orphan")
    assert kubectl("get", "replicasets", "-o", "name") != ""
    kubectl.up()
    assert kubectl.pods() == before


def test_delete_by_file_label_and_all(kubectl: Kubectl) -> None:
    kubectl.apply(WEB)
    kubectl("delete", "-f", "-", stdin=textwrap.dedent(WEB))
    assert kubectl("get", "deployments,services", "-o", "name") == ""
    for name in ("a", "b", "c"):
        kubectl("create", "secret", "generic", name)
    kubectl("label", "secret", "a", "old=yes")
    kubectl("delete", "secret", "-l", "old=yes")
    assert kubectl("get", "secrets", "-o", "name").split() == ["secret/b", "secret/c"]
    kubectl("delete", "secrets", "--all")
    assert kubectl("get", "secrets", "-o", "name") == ""


def test_delete_by_force(kubectl: Kubectl) -> None:
    kubectl.sleeper("stubborn", "trap '' TERM; sleep 600")
    kubectl("delete", "pod", "stubborn", "--force", "--grace-period=0")
    assert kubectl("get", "pods", "-o", "name") == ""


def test_delete_a_namespace(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "short-lived")
    inside = Kubectl(kubectl.environment, kubectl.folder, "short-lived")
    inside.up()
    kubectl("delete", "namespace", "short-lived", TIMEOUT)
    assert "not found" in inside.fails("get", "namespace", "short-lived")
    assert inside("get", "all", "-o", "name") == ""


# logs


def test_logs(kubectl: Kubectl) -> None:
    kubectl("run", "talker", "--restart=Never", "--image=pocketkube/tools", "--", "seq", "1", "5")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/talker", TIMEOUT)
    assert kubectl("logs", "talker").split() == ["1", "2", "3", "4", "5"]
    assert kubectl("logs", "talker", "--tail=2").split() == ["4", "5"]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z 1\n", kubectl("logs", "talker", "--timestamps"))
    assert kubectl("logs", "talker", "--since=1h").split()[0] == "1"
    assert "container nobody is not valid" in kubectl.fails("logs", "talker", "-c", "nobody")


def test_logs_of_many_pods(kubectl: Kubectl) -> None:
    kubectl.up()
    assert kubectl("logs", "-l", "app=web") == "hello from first\n" * 2
    prefixed = kubectl("logs", "-l", "app=web", "--prefix")
    assert all(f"[pod/{name}/main] hello from first" in prefixed for name in kubectl.pods())
    assert kubectl("logs", "deployment/web") == "hello from first\n"


def test_logs_are_followed_to_the_end(kubectl: Kubectl) -> None:
    script = "echo begin; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo end"
    kubectl("run", "talker", "--restart=Never", "--image=pocketkube/tools", "--", "sh", "-c", script)
    kubectl("wait", "--for=condition=Ready", "pod/talker", TIMEOUT)
    with kubectl.begin("logs", "-f", "talker") as follower:
        assert follower.stdout
        assert follower.stdout.readline() == "begin\n"
        kubectl("exec", "talker", "--", "touch", "/tmp/go")
        assert follower.stdout.read() == "end\n"
    assert follower.returncode == 0


def test_logs_of_the_container_before(kubectl: Kubectl) -> None:
    first_time = (
        "if mkdir /data/again; then echo first; while [ ! -e /data/go ]; do sleep 0.05; done; exit 1; fi"
    )
    kubectl.sleeper("phoenix", f"{first_time}; echo second; exec sleep 600")
    kubectl("exec", "phoenix", "--", "touch", "/data/go")
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/phoenix", TIMEOUT)
    kubectl("wait", "--for=condition=Ready", "pod/phoenix", TIMEOUT)
    assert kubectl("logs", "phoenix", "--previous") == "first\n"
    assert kubectl("logs", "phoenix").endswith("second\n")


# exec and its relatives


@pytest.fixture
def shell(kubectl: Kubectl) -> Kubectl:
    """A namespace with a Pod `shell` to run things in."""
    kubectl.sleeper("shell")
    return kubectl


def test_exec(shell: Kubectl) -> None:
    done = shell.run("exec", "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr.startswith("err\n")
    assert shell("exec", "shell", "--", "hostname") == "shell\n"


def test_exec_takes_input(shell: Kubectl) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    assert shell("exec", "-i", "shell", "--", "cat", stdin=text) == text
    assert shell("exec", "-i", "shell", "--", "wc", "-l", stdin=text).strip() == "20000"


def test_exec_with_a_terminal(shell: Kubectl) -> None:
    master, slave = os.openpty()
    try:
        command = [
            str(KUBECTL),
            "-n",
            shell.namespace,
            "exec",
            "-it",
            "shell",
            "--",
            "sh",
            "-c",
            "tty && stty size",
        ]
        with subprocess.Popen(
            command, env=shell.environment, stdin=slave, stdout=slave, stderr=slave
        ) as process:
            assert process.wait(30) == 0
        assert b"/dev/pts/" in os.read(master, 4096)
    finally:
        os.close(master)
        os.close(slave)


def test_exec_that_cannot_be(shell: Kubectl) -> None:
    assert "no-such-program" in shell.fails("exec", "shell", "--", "no-such-program")
    assert "container nobody" in shell.fails("exec", "shell", "-c", "nobody", "--", "true")
    assert 'pods "nobody" not found' in shell.fails("exec", "nobody", "--", "true")


def test_cp_there_and_back(shell: Kubectl) -> None:
    local = shell.folder / "letter"
    local.write_text("dear Pod\n")
    shell("cp", str(local), "shell:/tmp/letter")
    assert shell("exec", "shell", "--", "cat", "/tmp/letter") == "dear Pod\n"
    shell("cp", "shell:/tmp/letter", str(shell.folder / "back"))
    assert (shell.folder / "back").read_text() == "dear Pod\n"


def server(kubectl: Kubectl) -> None:
    """A Pod `server` that answers on port 8000."""
    kubectl.sleeper(
        "server", "echo hello > /data/index.html; exec python3 -m http.server --directory /data 8000"
    )
    kubectl("exec", "server", "--", "python3", "-c", ANSWERS)


def test_port_forward(kubectl: Kubectl) -> None:
    server(kubectl)
    with kubectl.begin("port-forward", "pod/server", ":8000") as forward:
        assert forward.stdout
        line = forward.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+) -> 8000", line)
        assert found, line
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(3):
            with direct.open(f"http://127.0.0.1:{found[1]}/", timeout=30) as answer:
                assert answer.read() == b"hello\n"
        forward.terminate()


def test_a_port_of_a_pod_through_the_api_server(kubectl: Kubectl) -> None:
    server(kubectl)
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/server:8000/proxy/"
    assert kubectl("get", "--raw", path) == "hello\n"


# wait


def test_wait(kubectl: Kubectl) -> None:
    kubectl.apply(WEB)
    kubectl("wait", "--for=condition=Available", "deployment/web", TIMEOUT)
    kubectl("wait", "--for=create", "service/web", TIMEOUT)
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", TIMEOUT)
    kubectl("wait", "--for=condition=Ready", "pods", "-l", "app=web", TIMEOUT)
    refusal = kubectl.fails("wait", "--for=condition=Never", "deployment/web", "--timeout=1s")
    assert "timed out waiting for the condition" in refusal
    with kubectl.begin("wait", "--for=delete", "pods", "-l", "app=web", TIMEOUT) as waiting:
        kubectl("delete", "deployment", "web")
        assert waiting.wait(30) == 0


def test_wait_for_a_job(kubectl: Kubectl) -> None:
    kubectl("create", "job", "once", "--image=pocketkube/tools", "--", "echo", "done")
    kubectl("wait", "--for=condition=complete", "job/once", TIMEOUT)
    assert kubectl("logs", "job/once") == "done\n"
    assert kubectl("get", "job", "once", "--no-headers").split()[:3] == ["once", "Complete", "1/1"]


# scale and rollout


def test_scale(kubectl: Kubectl) -> None:
    kubectl.up()
    kubectl("scale", "deployment/web", "--replicas=5")
    kubectl("rollout", "status", "deployment/web", TIMEOUT)
    assert len(kubectl.pods()) == 5
    refusal = kubectl.fails("scale", "deployment/web", "--current-replicas=2", "--replicas=9")
    assert "expected replicas to be 2, was 5" in refusal.lower()
    kubectl("scale", "deployment/web", "--replicas=0")
    kubectl("wait", "--for=delete", "pods", "-l", "app=web", TIMEOUT)
    assert kubectl("get", "endpointslices", "--no-headers").split()[3] == "<unset>"


def test_rollout_restart_history_and_undo(kubectl: Kubectl) -> None:
    kubectl.up()
    before = kubectl.pods()
    kubectl("rollout", "restart", "deployment/web")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", TIMEOUT)
    assert not set(before) & set(kubectl.pods())
    kubectl("set", "env", "deployment/web", "GREETER=third")
    kubectl("annotate", "deployment/web", "kubernetes.io/change-cause=another greeting")
    kubectl("rollout", "status", "deployment/web", TIMEOUT)
    history = kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2", "3"]
    assert "another greeting" in history
    assert "third" in kubectl("rollout", "history", "deployment/web", "--revision=3")
    kubectl("rollout", "undo", "deployment/web", "--to-revision=1")
    kubectl("rollout", "status", "deployment/web", TIMEOUT)
    assert kubectl("logs", kubectl.pods()[0]) == "hello from first\n"


def test_rollout_pause_and_resume(kubectl: Kubectl) -> None:
    kubectl.up()
    before = kubectl.pods()
    kubectl("rollout", "pause", "deployment/web")
    kubectl("set", "env", "deployment/web", "GREETER=later")
    assert kubectl.pods() == before
    kubectl("rollout", "resume", "deployment/web")
    kubectl("rollout", "status", "deployment/web", TIMEOUT)
    assert not set(before) & set(kubectl.pods())


def test_rollout_status_tells_that_it_is_stuck(kubectl: Kubectl) -> None:
    kubectl.up(WEB.replace("replicas: 2", "replicas: 2\n      progressDeadlineSeconds: 2"))
    before = set(kubectl.pods())
    kubectl("set", "image", "deployment/web", "main=example.com/unknown:1")
    assert "exceeded its progress deadline" in kubectl.fails("rollout", "status", "deployment/web", TIMEOUT)
    assert before <= set(kubectl.pods()), "the old Pods go on"


# nodes, and what the cluster says of itself


def test_cordon_drain_and_uncordon(kubectl: Kubectl) -> None:
    kubectl.up()
    try:
        kubectl("drain", "pocket-2", "--ignore-daemonsets", "--delete-emptydir-data", "--force", TIMEOUT)
        kubectl("rollout", "status", "deployment/web", TIMEOUT)
        nodes = {pod["spec"]["nodeName"] for pod in kubectl.json("pods")["items"]}
        assert nodes == {"pocket-1"}
        assert "SchedulingDisabled" in kubectl("get", "node", "pocket-2")
    finally:
        kubectl("uncordon", "pocket-2")


def test_what_the_cluster_says_of_itself(kubectl: Kubectl) -> None:
    assert "is running at" in kubectl("cluster-info")
    assert "Server Version" in kubectl("version")
    assert "replicas" in kubectl("explain", "deployment.spec")
    assert "ScalingReplicaSet" in kubectl_events(kubectl)


def kubectl_events(kubectl: Kubectl) -> str:
    """What `kubectl events` prints when something has happened."""
    kubectl.up()
    return kubectl("events")
