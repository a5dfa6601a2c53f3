"""Pods on a node: order, probes, restarts, hooks, volumes, status, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pocketkube.node import container as container_module
from pocketkube.node.backoff import BackOff
from tests.pocketkube.node.inside import Node, run
from tests.pocketkube.node.pods import nodes, ready, restarts, running, state

pytestmark = pytest.mark.behaviour("H1")

FOREVER = 'trap "exit 0" TERM; echo up; sleep 1000 & wait'


async def starts_one(node: Node) -> Any:
    async with nodes(node) as made:
        await made.run("web", FOREVER, dnsPolicy="ClusterFirst")
        pod = await made.until("web", ready)
        return [pod["status"], made.events("web")]


def test_a_pods_status_is_complete(tmp_path: Path) -> None:
    status, events = run(starts_one, tmp_path)
    container = status["containerStatuses"][0]
    assert status["phase"] == "Running"
    assert status["podIP"] == "198.18.1.2"
    assert status["podIPs"] == [{"ip": "198.18.1.2"}]
    assert status["hostIP"] == "198.18.0.1"
    assert container["image"] == "pocketkube/tools"
    assert container["imageID"].startswith("pocketkube/tools@sha256:")
    assert container["containerID"].startswith("pocketkube://")
    assert container["ready"] and container["started"]
    assert status["startTime"] and container["state"]["running"]["startedAt"]
    assert {entry["type"] for entry in status["conditions"]} == {
        "PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready",
    }  # fmt: skip
    assert events[:3] == ["Pulled", "Created", "Started"]


async def runs_in_order(node: Node) -> Any:
    shared = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}

    def init(name: str) -> dict[str, Any]:
        command = ["sh", "-c", f"sleep 0.05; echo {name} >> /shared/order"]
        return {"name": name, "image": "pocketkube/tools", "command": command, **shared}

    sidecar = {
        **init("sidecar"),
        "restartPolicy": "Always",
        "command": ["sh", "-c", "echo sidecar >> /shared/order; trap 'exit 0' TERM; sleep 1000 & wait"],
    }
    async with nodes(node) as made:
        await made.run(
            "ordered",
            "cat /shared/order",
            container=shared,
            restartPolicy="Never",
            initContainers=[init("first"), sidecar, init("second")],
            volumes=[{"name": "shared", "emptyDir": {}}],
        )
        pod = await made.until("ordered", lambda pod: pod.get("status", {}).get("phase") == "Succeeded")
        return [await made.log("ordered"), pod["status"]["initContainerStatuses"]]


def test_init_containers_run_one_after_the_other_and_sidecars_beside(tmp_path: Path) -> None:
    order, statuses = run(runs_in_order, tmp_path)
    assert order.split() == ["first", "sidecar", "second"]
    assert [entry["state"]["terminated"]["exitCode"] for entry in statuses] == [0, 0, 0]


async def restarts_with_back_off(node: Node) -> Any:
    async with nodes(node, backoff=BackOff(base=0.1, most=0.2)) as made:
        await made.run("broken", "echo run; exit 3")
        waiting = await made.until(
            "broken", lambda pod: state(pod).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        )
        await made.until("broken", lambda pod: restarts(pod) >= 3)
        return [waiting["status"]["containerStatuses"][0], await made.log("broken", previous=True)]


def test_a_container_that_fails_is_started_again_ever_later(tmp_path: Path) -> None:
    status, previous = run(restarts_with_back_off, tmp_path)
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert "back-off 0.1s restarting failed container=main" in status["state"]["waiting"]["message"]
    assert previous == "run\n"


@pytest.mark.parametrize("scenario", ["ends_badly_once", "ends_well_once"])
def test_restart_policies(tmp_path: Path, scenario: str) -> None:
    phase, restarted, reason = run(globals()[scenario], tmp_path)
    expected = {"ends_badly_once": ["Failed", 0, "Error"], "ends_well_once": ["Succeeded", 1, "Completed"]}
    assert [phase, restarted, reason] == expected[scenario]


async def ends_badly_once(node: Node) -> Any:
    return await _final(node, "exit 5", "Never")


async def ends_well_once(node: Node) -> Any:
    return await _final(node, "test -e /tmp/../data/x || { touch /data/x; exit 1; }", "OnFailure")


async def _final(node: Node, script: str, policy: str) -> Any:
    async with nodes(node) as made:
        await made.run(
            "job",
            script,
            container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            restartPolicy=policy,
            volumes=[{"name": "data", "emptyDir": {}}],
        )
        pod = await made.until(
            "job", lambda pod: pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
        )
        return [pod["status"]["phase"], restarts(pod), state(pod)["terminated"]["reason"]]


async def follows_readiness(node: Node) -> Any:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with nodes(node) as made:
        await made.run("web", FOREVER, container={"readinessProbe": probe})
        pod = await made.until("web", running)
        before = ready(pod)
        await made.command("web", "touch", "/tmp/ready")
        await made.until("web", ready)
        await made.command("web", "rm", "/tmp/ready")
        await made.until("web", lambda pod: not ready(pod))
        return [before, restarts(pod), "Unhealthy" in made.events("web")]


def test_readiness_follows_its_probe(tmp_path: Path) -> None:
    assert run(follows_readiness, tmp_path) == [False, 0, True]


async def probes_over_the_network(node: Node) -> Any:
    http = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 20}
    tcp = {"tcpSocket": {"port": 8080}, "periodSeconds": 20}
    own = {
        "command": ["python", "-m", "http.server", "8080"],
        "ports": [{"name": "web", "containerPort": 8080}],
        "startupProbe": tcp,
        "readinessProbe": http,
    }
    loop = asyncio.get_running_loop()
    async with nodes(node) as made:
        began = loop.time()
        await made.run("web", "", container=own)
        await made.until("web", ready)
        return loop.time() - began


def test_network_probes_find_a_container_ready_at_once(tmp_path: Path) -> None:
    assert run(probes_over_the_network, tmp_path) < 15, "not after a period of twenty seconds"


async def fails_liveness(node: Node) -> Any:
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/dead"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with nodes(node) as made:
        await made.run("web", FOREVER, container={"livenessProbe": probe}, terminationGracePeriodSeconds=1)
        await made.until("web", running)
        await made.command("web", "touch", "/tmp/dead")
        pod = await made.until("web", lambda pod: restarts(pod) == 1 and state(pod).get("running"))
        return [
            pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"],
            made.events("web"),
        ]


def test_a_container_that_is_not_alive_is_restarted(tmp_path: Path) -> None:
    code, events = run(fails_liveness, tmp_path)
    assert code == 0
    assert {"Unhealthy", "Killing"} <= set(events)


async def ends_gracefully(node: Node) -> Any:
    hooks = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1"]}}}
    script = 'trap "echo term; sleep 0.1; echo bye; exit 7" TERM; echo up; while :; do sleep 0.01; done'
    async with nodes(node) as made:
        await made.run("web", script, container={"lifecycle": hooks})
        await made.until("web", running)
        reading = asyncio.create_task(made.whole_log("web"))
        await made.api.delete("pods", "web", "default")
        pod = await made.until("web", lambda pod: state(pod).get("terminated"))
        log = await reading
        await made.gone("web")
        return [log, state(pod)["terminated"]["exitCode"]]


def test_a_pod_ends_gracefully(tmp_path: Path) -> None:
    log, code = run(ends_gracefully, tmp_path)
    assert log.split()[-3:] == ["hook", "term", "bye"]
    assert code == 7


async def ignores_the_signal(node: Node) -> Any:
    loop = asyncio.get_running_loop()
    async with nodes(node) as made:
        await made.run("web", 'trap "" TERM; echo up; while :; do sleep 0.01; done')
        await made.until("web", running)
        began = loop.time()
        await made.api.delete("pods", "web", "default", grace_seconds=1)
        await made.gone("web")
        return loop.time() - began


def test_what_ignores_the_signal_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    assert 1 <= run(ignores_the_signal, tmp_path) < 15


async def is_hastened(node: Node) -> Any:
    loop = asyncio.get_running_loop()
    async with nodes(node) as made:
        await made.run("web", 'trap "" TERM; echo up; while :; do sleep 0.01; done')
        await made.until("web", running)
        began = loop.time()
        await made.api.delete("pods", "web", "default", grace_seconds=60)
        await made.api.delete("pods", "web", "default", grace_seconds=1)
        await made.gone("web")
        return loop.time() - began


def test_a_pod_that_ends_may_be_given_less_time(tmp_path: Path) -> None:
    assert 1 <= run(is_hastened, tmp_path) < 25


async def updates_files(node: Node) -> Any:
    volume = {"name": "config", "configMap": {"name": "settings"}}
    labels = {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
    both = [volume, {"name": "labels", **labels}]
    mounts = [{"name": "config", "mountPath": "/config"}, {"name": "labels", "mountPath": "/labels"}]
    # Each volume follows by itself, so neither need be the first.
    wait = "while [ $(cat /config/key) = 1 ] || ! grep -q new /labels/labels; do sleep 0.01; done"
    watcher = f"cat /config/key; touch /tmp/begun; {wait}; cat /config/key /labels/labels"
    begun = {"exec": {"command": ["test", "-e", "/tmp/begun"]}, "periodSeconds": 1}
    own = {"volumeMounts": mounts, "readinessProbe": begun}
    async with nodes(node) as made:
        settings = {"metadata": {"name": "settings", "namespace": "default"}, "data": {"key": "1"}}
        await made.run("web", watcher, container=own, volumes=both, restartPolicy="Never")
        await made.until("web", lambda pod: made.events("web"))
        waited = made.events("web")
        await made.api.create("configmaps", settings, "default")
        await made.until("web", ready)
        await made.api.patch("pods", "web", "default", {"metadata": {"labels": {"new": "yes"}}})
        await made.api.patch("configmaps", "settings", "default", {"data": {"key": "2"}})
        await made.until("web", lambda pod: state(pod).get("terminated"))
        return [waited, await made.log("web")]


def test_volumes_wait_for_their_source_and_follow_it(tmp_path: Path) -> None:
    waited, log = run(updates_files, tmp_path)
    assert waited == ["FailedMount"]
    assert log == '12app="web"\nnew="yes"\n'


async def waits_for_a_secret(node: Node) -> Any:
    own = {"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}}]}
    secret = {"metadata": {"name": "keys", "namespace": "default"}, "stringData": {"key": "value"}}
    # It hears of the Secret, and need not look again.
    container_module._RETRY_SECONDS = 60.0  # type: ignore[misc]
    async with nodes(node) as made:
        await made.run("web", "echo $KEY", container=own, restartPolicy="Never")
        pod = await made.until("web", lambda pod: state(pod).get("waiting", {}).get("message"))
        await made.api.create("secrets", secret, "default")
        await made.until("web", lambda pod: state(pod).get("terminated"))
        return [state(pod)["waiting"], await made.log("web")]


def test_a_container_waits_for_what_its_variables_come_from(tmp_path: Path) -> None:
    waiting, log = run(waits_for_a_secret, tmp_path)
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}
    assert log == "value\n"


async def executes_with_input(node: Node) -> Any:
    async with nodes(node) as made:
        await made.run("web", FOREVER)
        await made.until("web", running)
        pod = made.api.get("pods", "web", "default")
        printed: dict[int, bytes] = {1: b"", 2: b""}

        async def out(stream: int, data: bytes) -> None:
            printed[stream] += data

        async def typed() -> AsyncIterator[bytes]:
            yield b"one\n"
            yield b"two\n"

        script = ["sh", "-c", "cat; echo problem >&2; exit 4"]
        code = await made.access.exec(pod, "main", script, stdin=typed(), tty=False, out=out)
        shown = [code, printed[1].decode(), printed[2].decode()]
        printed[1] = b""
        script = ["sh", "-c", "tty; read line; echo got $line; kill -9 $$"]
        code = await made.access.exec(pod, "main", script, stdin=typed(), tty=True, out=out)
        return [shown, code, printed[1].decode().split()]


def test_commands_take_input_with_and_without_a_terminal(tmp_path: Path) -> None:
    plain, code, terminal = run(executes_with_input, tmp_path)
    assert plain == [4, "one\ntwo\n", "problem\n"]
    assert code == 137
    assert any(word.startswith("/dev/pts/") for word in terminal)
    assert "got one" in " ".join(terminal)  # the terminal's echo of "two" may come before or after it


async def wants_an_unknown_image(node: Node) -> Any:
    async with nodes(node, backoff=BackOff(base=0.1)) as made:
        await made.run("web", "", container={"image": "example.com/none:1"})
        first = await made.until(
            "web", lambda pod: state(pod).get("waiting", {}).get("reason") == "ErrImagePull"
        )
        await made.until("web", lambda pod: state(pod).get("waiting", {}).get("reason") == "ImagePullBackOff")
        await made.api.delete("pods", "web", "default")
        await made.gone("web")
        return [state(first)["waiting"]["message"], made.events("web")]


def test_an_unknown_image_is_named_with_the_remedy(tmp_path: Path) -> None:
    message, events = run(wants_an_unknown_image, tmp_path)
    assert "'example.com/none:1'" in message
    assert "pocketkube/tools" in message
    assert "Remedy" in message
    assert "Failed" in events


async def holds_the_next_container(node: Node) -> Any:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "sleep 0.2; touch /shared/proxy-ready"]}}}
    mount = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    app = {"name": "app", "image": "pocketkube/tools", "command": ["ls", "/shared"], **mount}
    async with nodes(node) as made:
        main = {"lifecycle": hook, **mount}
        volumes = [{"name": "shared", "emptyDir": {}}]
        await made.run("web", FOREVER, container=main, volumes=volumes, restartPolicy="Never")
        await made.api.delete("pods", "web", "default", grace_seconds=0)
        await made.gone("web")
        spec = {"name": "main", "image": "pocketkube/tools", "command": ["sh", "-c", FOREVER], **main}
        await made.run("held", "", containers=[spec, app], volumes=volumes, restartPolicy="Never")
        await made.until("held", lambda pod: state(pod, 1).get("terminated"))
        return await made.log("held", container="app")


def test_a_hook_after_the_start_holds_the_next_container_back(tmp_path: Path) -> None:
    assert run(holds_the_next_container, tmp_path) == "proxy-ready\n"


async def goes_without_waiting(node: Node) -> Any:
    async with nodes(node) as made:
        await made.run("web", 'trap "" TERM; echo up; sleep 1000')
        await made.until("web", running)
        await made.api.delete("pods", "web", "default", grace_seconds=0)
        await made.gone("web")
        await made.run("next", "ls /sys/class/net; hostname -i", restartPolicy="Never")
        await made.until("next", lambda pod: state(pod).get("terminated"))
        return [await made.log("next"), await made.folder_gone(node.state.pods, "web")]


def test_a_pod_deleted_by_force_is_gone_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    log, folders = run(goes_without_waiting, tmp_path)
    assert log.split()[:2] == ["eth0", "lo"]
    assert folders == ["next"]


async def follows_logs(node: Node) -> Any:
    async with nodes(node) as made:
        await made.run("web", "echo one; echo two >&2; printf three", restartPolicy="Never")
        await made.until("web", running)
        whole = await made.whole_log("web")
        pod = made.api.get("pods", "web", "default")
        last = made.access.logs(pod, "main", follow=False, tail=1, previous=False, timestamps=True)
        return [sorted(whole.split()), b"".join([part async for part in last]).decode()]


def test_logs_are_followed_to_the_end(tmp_path: Path) -> None:
    whole, last = run(follows_logs, tmp_path)
    assert whole == ["one", "three", "two"]
    assert last[:2] == "20"
    assert last.count("\n") == 1


async def says_its_last_word(node: Node) -> Any:
    async with nodes(node) as made:
        own = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        await made.run("told", "echo because > /dev/termination-log; exit 1", restartPolicy="Never")
        await made.run("logged", "echo from the log; exit 1", container=own, restartPolicy="Never")
        pods = [
            await made.until(name, lambda pod: state(pod).get("terminated")) for name in ("told", "logged")
        ]
        return [state(pod)["terminated"]["message"] for pod in pods]


def test_termination_messages(tmp_path: Path) -> None:
    assert run(says_its_last_word, tmp_path) == ["because\n", "from the log\n"]


async def shares_the_nodes_network(node: Node) -> Any:
    async with nodes(node) as made:
        await made.run("host", "ls /sys/class/net; hostname", hostNetwork=True, restartPolicy="Never")
        pod = await made.until("host", lambda pod: state(pod).get("terminated"))
        return [pod["status"]["podIP"], await made.log("host")]


def test_a_pod_may_use_the_nodes_network(tmp_path: Path) -> None:
    address, log = run(shares_the_nodes_network, tmp_path)
    assert address == "198.18.0.1"
    assert log.split()[-1] == "pocket-1"
    assert "eth0" not in log


REDIRECT = """
iptables-restore -n <<'EOF'
*nat
-A OUTPUT -p tcp -m owner --uid-owner 1337 -j RETURN
-A OUTPUT -d 192.0.2.1 -p tcp -j REDIRECT --to-ports 15001
COMMIT
EOF
"""
LISTEN = "import socket; s = socket.create_server(('127.0.0.1', 15001)); s.accept()[0].sendall(b'caught')"
CONNECT = "import socket; print(socket.create_connection(('192.0.2.1', 80), 2).recv(10).decode())"


async def redirects(node: Node) -> Any:
    def container(name: str, script: str, **security: Any) -> dict[str, Any]:
        command = ["sh", "-c", script]
        return {"name": name, "image": "pocketkube/tools", "command": command, "securityContext": security}

    alone = {"drop": ["ALL"]}
    init = container("init", REDIRECT, runAsUser=0, capabilities={**alone, "add": ["NET_ADMIN", "NET_RAW"]})
    proxy = container("proxy", f'python -c "{LISTEN}"', runAsUser=1337, capabilities=alone)
    caught = f'until python -c "{CONNECT}" 2> /dev/null; do :; done'
    main = container("main", f"{caught}; iptables -t nat -F 2> /dev/null || echo refused")
    async with nodes(node) as made:
        await made.run("web", "", containers=[proxy, main], initContainers=[init], restartPolicy="Never")
        await made.until("web", lambda pod: state(pod, 1).get("terminated"))
        return await made.log("web")


def test_a_pods_own_packet_filter_takes_its_traffic(tmp_path: Path) -> None:
    assert run(redirects, tmp_path).split() == ["caught", "refused"]


async def is_held_by_a_finalizer(node: Node) -> Any:
    async with nodes(node) as made:
        await made.run("web", "sleep 1000")
        await made.api.patch("pods", "web", "default", {"metadata": {"finalizers": ["example.com/hold"]}})
        await made.until("web", running)
        await made.api.delete("pods", "web", "default", grace_seconds=0)
        pod = await made.until("web", lambda pod: state(pod).get("terminated"))
        await made.until("web", lambda pod: pod["metadata"].get("deletionGracePeriodSeconds") == 0)
        held = await made.run("other", "true", restartPolicy="Never")
        await made.until("other", lambda pod: state(pod).get("terminated"))
        revision = int(made.api.get("pods", "web", "default")["metadata"]["resourceVersion"])
        await made.api.patch("pods", "web", "default", {"metadata": {"finalizers": []}})
        await made.gone("web")
        return [
            state(pod)["terminated"]["exitCode"],
            revision < int(held["metadata"]["resourceVersion"]) + 20,
        ]


def test_a_pod_that_a_finalizer_holds_ends_once(tmp_path: Path) -> None:
    assert run(is_held_by_a_finalizer, tmp_path) == [137, True]
