"""The launcher: what a container sees, may do, and leaves behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pocketkube.images import Image
from pocketkube.network import addresses
from pocketkube.node.identity import CAPABILITIES, DOCKER_DEFAULT, Identity
from pocketkube.node.runtime import LaunchError, Process, Sandbox
from pocketkube.node.specification import Plan
from tests.pocketkube.node.inside import Node, run

pytestmark = pytest.mark.behaviour("H1")

_DEFAULT = tuple(sorted(CAPABILITIES.index(name) for name in DOCKER_DEFAULT))


def identity(uid: int = 0, capabilities: Sequence[int] = _DEFAULT, **other: Any) -> Identity:
    values = {"privileged": False, "no_new_privileges": False, "read_only_root": False} | other
    return Identity(uid, uid, (), tuple(capabilities), **values)


def plan(node: Node, command: str, who: Identity | None = None, *, volumes: Sequence[Any] = ()) -> Plan:
    environment = {"PATH": f"{node.machine.binaries}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    return Plan(
        image=Image("test:latest"),
        identity=who or identity(),
        argv=("sh", "-c", command),
        environment=environment,
        cwd="/",
        base=node.machine.steps(),
        volumes=[list(volume) for volume in volumes],
    )


async def sandbox(node: Node, number: int = 2) -> Sandbox:
    return await node.runtime.create_sandbox(
        hostname=f"pod-{number}",
        address=addresses.pod_address(1, number),
        gateway=addresses.NODE,
        interface=f"pod1-{number}",
        sysctls=addresses.POD_SYSCTLS,
    )


async def started(node: Node, made: Plan, where: Sandbox) -> tuple[Process, int]:
    """The process and a memory file that has its output."""
    output = os.memfd_create("output")
    stdin = os.open(os.devnull, os.O_RDONLY)
    process = await node.runtime.run(made.for_container(str(node.state.root)), where, (stdin, output, output))
    os.close(stdin)
    return process, output


def text(output: int) -> str:
    return os.pread(output, os.fstat(output).st_size, 0).decode()


async def output_of(node: Node, made: Plan, where: Sandbox | None = None) -> tuple[int, str]:
    process, output = await started(node, made, where or await sandbox(node))
    return await process.ended, text(output)


async def shows_its_view(node: Node) -> str:
    command = (
        "hostname; id -u; ls /home; env | sort; cat /proc/1/comm; ip -o -4 addr show eth0;"
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ls /dev/shm | wc -l; stat -c %a /tmp /dev/null"
    )
    return (await output_of(node, plan(node, command, identity(1337))))[1]


def test_a_container_sees_its_own_world_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    lines = run(shows_its_view, tmp_path).splitlines()
    assert lines[:3] == ["pod-2", "1337", "istio-proxy"]
    assert lines[3].startswith("HOME=")
    assert not any("proxy.invalid" in line for line in lines)
    assert "sh" in lines
    assert any("198.18.1.2/32" in line for line in lines)
    assert lines[-4:] == ["0", "0", "1777", "666"]


async def reads_capabilities(node: Node) -> list[str]:
    where = await sandbox(node)
    show = "grep -E 'Cap(Eff|Bnd)' /proc/self/status | cut -f2"
    net_admin = identity(0, [CAPABILITIES.index("NET_ADMIN")])
    return [
        (await output_of(node, plan(node, show, who), where))[1]
        for who in (identity(), identity(1337), net_admin)
    ]


def test_capabilities_are_dockers_and_no_more(tmp_path: Path) -> None:
    root, other, net_admin = run(reads_capabilities, tmp_path)
    assert root.split() == ["00000000a80425fb"] * 2
    assert other.split() == ["0000000000000000", "00000000a80425fb"]
    assert net_admin.split() == [f"{1 << 12:016x}"] * 2


async def tries_to_write(node: Node) -> str:
    command = (
        "for path in /usr /etc /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/x; do"
        " if touch $path/x 2>/dev/null || (echo > $path) 2>/dev/null; then echo $path; fi; done; true"
    )
    return (await output_of(node, plan(node, command)))[1]


def test_root_in_a_container_changes_its_own_files_only(tmp_path: Path) -> None:
    assert run(tries_to_write, tmp_path).split() == ["/etc"]
    assert not Path("/etc/x").exists()


async def mounts_volumes(node: Node) -> str:
    folder = node.state.run / "volume"
    folder.mkdir()
    (folder / "file").write_text("content")
    volumes = [[str(folder), "/var/run/data", True], [str(folder / "file"), "/etc/one", False]]
    command = "cat /var/run/data/file /run/data/file /etc/one; touch /var/run/data/x || echo refused"
    return (await output_of(node, plan(node, command, volumes=volumes)))[1]


def test_volumes_are_mounted_through_links_inside_the_container(tmp_path: Path) -> None:
    shown = run(mounts_volumes, tmp_path)
    assert shown.startswith("contentcontentcontent")
    assert shown.endswith("refused\n")
    assert not Path("/run/data").exists()


async def runs_what_is_not_there(node: Node) -> list[str]:
    where = await sandbox(node)
    messages = []
    for made in (
        Plan(Image("a"), identity(), ("nothing-here",), {"PATH": "/usr/bin"}, "/", node.machine.steps(), []),
        plan(node, "true", volumes=[["/nowhere", "/usr/impossible", True]]),
    ):
        try:
            await started(node, made, where)
        except LaunchError as error:
            messages.append(f"{error.reason}: {error}")
    return messages


def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    program, mount = run(runs_what_is_not_there, tmp_path)
    assert program == "StartError: exec: \"nothing-here\": not found in PATH '/usr/bin'"
    assert mount.startswith("ContainerCannotRun: ")
    assert "/usr/impossible" in mount


async def ends_with_its_first_process(node: Node) -> list[Any]:
    reading, writing = os.pipe()
    made = plan(node, "sleep 1000 & setsid sleep 1000 & echo $$; wait")
    where = await sandbox(node)
    process = await node.runtime.run(
        made.for_container(str(node.state.root)), where, (writing, writing, writing)
    )
    printed = await asyncio.get_running_loop().run_in_executor(None, os.read, reading, 100)
    process.signal(signal.SIGKILL)
    code = await process.ended
    return [code, printed.decode().strip(), commands().count("sleep")]


def commands() -> list[str]:
    """The names of all processes that can be seen."""
    return [path.read_text().strip() for path in Path("/proc").glob("[0-9]*/comm")]


def test_a_container_ends_whole(tmp_path: Path) -> None:
    assert run(ends_with_its_first_process, tmp_path) == [-signal.SIGKILL, "1", 0]


async def loses_no_end(node: Node) -> list[int]:
    where = await sandbox(node)
    results = await asyncio.gather(
        *(output_of(node, plan(node, f"exit {code}"), where) for code in range(30))
    )
    return [code for code, _output in results]


def test_processes_that_end_at_once_are_waited_for(tmp_path: Path) -> None:
    assert run(loses_no_end, tmp_path) == list(range(30))


async def reaps_orphans(node: Node) -> list[str]:
    done = await node.reaper.run(["/bin/sh", "-c", "(exec sleep 0.01) & (exec true) & exit 0"])
    last = await node.reaper.run(["/bin/sleep", "0.1"])
    return [str(done.code), str(last.code), *(name for name in commands() if name in ("true", "sleep"))]


def test_orphans_leave_no_zombies(tmp_path: Path) -> None:
    assert run(reaps_orphans, tmp_path) == ["0", "0"]


async def executes_inside(node: Node) -> list[Any]:
    where = await sandbox(node)
    made = plan(node, "exec sleep 1000", identity(1337))
    process, _output = await started(node, made, where)
    output = os.memfd_create("output")
    command = made.for_command(
        process.pid, ["sh", "-c", "id -u; ls /proc | grep -c '^[0-9]'; exit 7"], tty=False
    )
    further = await node.runtime.execute(command, (output, output, output))
    code = await further.ended
    process.kill()
    await process.ended
    try:
        await node.runtime.execute(command, (output, output, output))
    except LaunchError as error:
        return [code, text(output).split(), str(error)]
    return [code, "executed in a container that has ended"]


def test_commands_run_in_the_containers_namespaces(tmp_path: Path) -> None:
    code, output, error = run(executes_inside, tmp_path)
    assert (code, output[0]) == (7, "1337")
    assert int(output[1]) <= 4, "it sees its own container's processes only"
    assert error


async def talks_over_the_network(node: Node) -> list[Any]:
    first, second = await sandbox(node, 2), await sandbox(node, 3)
    serve = plan(node, "exec python -m http.server 80", identity(1337))
    server, _output = await started(node, serve, first)
    fetch = (
        "import urllib.request, time\n"
        "for _ in range(200):\n"
        "    try: print(urllib.request.urlopen('http://198.18.1.2/', timeout=1).status); break\n"
        "    except OSError: time.sleep(0.02)\n"
    )
    code, answer = await output_of(node, plan(node, f'python -c "{fetch}"'), second)
    server.kill()
    await server.ended
    await node.runtime.remove_sandbox(first)
    began = time.monotonic()
    gone = "import socket; print(socket.socket().connect_ex(('198.18.1.2', 80)))"
    outside = "import socket; print(socket.socket().connect_ex(('192.0.2.1', 80)))"
    refused = await output_of(node, plan(node, f'python -c "{gone}"; python -c "{outside}"'), second)
    return [code, answer.strip(), refused[1].split(), time.monotonic() - began]


def test_pods_reach_each_other_and_nothing_else(tmp_path: Path) -> None:
    code, answer, refused, seconds = run(talks_over_the_network, tmp_path)
    assert (code, answer) == (0, "200")
    assert refused == [str(errno.ECONNREFUSED), str(errno.ENETUNREACH)]
    assert seconds < 20


async def starts_many(node: Node) -> list[float]:
    async def one(number: int) -> float:
        began = time.monotonic()
        process, _output = await started(node, plan(node, "true"), await sandbox(node, number))
        taken = time.monotonic() - began
        await process.ended
        return taken

    began = time.monotonic()
    each = await asyncio.gather(*(one(number) for number in range(2, 17)))
    return [sum(each), time.monotonic() - began]


def test_many_pods_start_side_by_side(tmp_path: Path) -> None:
    one_by_one, together = run(starts_many, tmp_path)
    assert together < one_by_one / 3
