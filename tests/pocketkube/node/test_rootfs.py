"""What of the machine a container is shown, wherever it lies."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pocketkube.images import Image
from pocketkube.network import addresses
from pocketkube.node import identity
from pocketkube.node.rootfs import Machine, unreadable
from pocketkube.node.specification import Plan
from tests.pocketkube.node.inside import Node, run

pytestmark = pytest.mark.behaviour("H1")


def test_the_interpreter_and_all_import_folders_are_shown(tmp_path: Path) -> None:
    machine = Machine.here(tmp_path)
    shown = [Path(folder) for folder in machine.folders] + [Path("/usr")]
    for needed in (sys.executable, sys.base_prefix, *filter(os.path.isdir, sys.path)):
        assert any(Path(needed).is_relative_to(folder) for folder in shown), needed
    assert machine.binaries == str(Path(sys.prefix, "bin"))


def test_a_folder_inside_another_is_shown_once(tmp_path: Path) -> None:
    folders = Machine.here(tmp_path).folders
    assert not any(a != b and Path(a).is_relative_to(b) for a in folders for b in folders)


def test_the_state_folder_is_hidden_where_it_lies_in_the_project(tmp_path: Path) -> None:
    machine = replace(Machine.here(tmp_path), folders=("/project",), hidden="/project/.state/one")
    assert ["hide", "/project/.state/one"] in machine.steps()
    assert not [step for step in replace(machine, hidden="/elsewhere").steps() if step[0] == "hide"]


def test_folders_that_only_their_owner_may_enter_are_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert unreadable(replace(Machine.here(tmp_path), folders=(str(closed), "/usr"))) == [str(closed)]


async def runs_under_a_volume(node: Node) -> list[str]:
    volume = node.state.folder / "volume"
    volume.mkdir()
    (volume / "kept").write_text("x")
    return await runs_from_a_closed_home(node, [[str(volume), str(node.state.folder), False]])


async def runs_from_a_closed_home(node: Node, volumes: Sequence[list[object]] = ()) -> list[str]:
    home = node.state.folder / "home"
    project = home / "project"
    (project / "state").mkdir(parents=True)
    (project / "state" / "secret").write_text("x")
    (project / "program").write_text(
        "#!/bin/sh\nid -u; ls /; ls -A $(dirname $0)/state; touch $0 || echo read-only\n"
    )
    (project / "program").chmod(0o755)
    home.chmod(0o700)
    machine = replace(
        node.machine, folders=(*node.machine.folders, str(project)), hidden=str(project / "state")
    )
    who = identity.of({"spec": {}}, {"name": "a"}, 1337)
    plan = Plan(Image("a"), who, (str(project / "program"),), {"PATH": "/usr/bin"}, "/", machine.steps(), [])
    plan = replace(plan, volumes=[*plan.volumes, *volumes])
    sandbox = await node.runtime.create_sandbox(
        hostname="a", address="198.18.1.2", gateway=addresses.NODE, interface="a", sysctls={}
    )
    output = os.memfd_create("output")
    process = await node.runtime.run(
        plan.for_container(str(node.state.root)), sandbox, (output, output, output)
    )
    await process.ended
    return os.pread(output, 10000, 0).decode().splitlines()


def test_a_project_under_a_closed_home_works_for_every_uid(tmp_path: Path) -> None:
    lines = run(runs_from_a_closed_home, tmp_path)
    assert lines[0] == "1337"
    assert "usr" in lines
    assert "secret" not in lines
    assert lines[-1] == "read-only"


def test_a_volume_over_the_project_does_not_hide_it(tmp_path: Path) -> None:
    lines = run(runs_under_a_volume, tmp_path)
    assert lines[0] == "1337"
    assert "secret" not in lines
    assert lines[-1] == "read-only"
