"""The interception rules as text, and what is refused."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from mesh.agent import iptables
from mesh.agent.iptables import Interception, InterceptionError, parse_list, rules

pytestmark = pytest.mark.behaviour("W2")

DEFAULT = """\
*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_REDIRECT - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -p tcp -j ISTIO_REDIRECT
COMMIT
"""


def test_the_rules_of_a_pod_that_asks_for_nothing() -> None:
    assert rules(Interception()) == DEFAULT


def test_a_list_may_have_blanks_and_gaps() -> None:
    assert parse_list(" 80, 443,,") == ("80", "443")


def test_every_port_once_even_if_all_outbound_is_wanted_anyway() -> None:
    lines = rules(Interception(include_outbound_ports=("9090",))).splitlines()
    assert [line for line in lines if line.endswith("-j ISTIO_REDIRECT")] == [
        "-A ISTIO_OUTPUT -p tcp -j ISTIO_REDIRECT"
    ]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"exclude_inbound_ports": ("80a",)}, "exclude inbound ports: '80a' is neither a port number"),
        ({"include_inbound_ports": ("0",)}, "include inbound ports: '0'"),
        ({"exclude_outbound_ports": ("65536",)}, "exclude outbound ports: '65536'"),
        ({"include_ip_ranges": ("10.0.0.0/33",)}, "include ip ranges: '10.0.0.0/33' is neither an IPv4 CIDR"),
        ({"exclude_ip_ranges": ("10.0.0.1/8",)}, "has host bits set"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong: dict[str, tuple[str, ...]], words: str) -> None:
    with pytest.raises(InterceptionError, match=words.replace(".", r"\.")):
        Interception(**wrong)  # type: ignore[arg-type]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mesh.agent.main", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_a_dry_run_prints_the_rules_and_changes_nothing() -> None:
    assert run("istio-iptables", "--dry-run").stdout == DEFAULT


def test_the_command_refuses_with_one_line() -> None:
    done = run("istio-iptables", "--dry-run", "-o", "http")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "exclude outbound ports: 'http'" in done.stderr


FAILS = "#!/bin/sh\necho 'Could not fetch rule set generation id: not supported' >&2\nexit 4\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts programs of some names before those of the machine; what the second kind reads is in a file."""

    def put(*, failing: Iterable[str], recording: Iterable[str] = ()) -> Path:
        texts = dict.fromkeys(failing, FAILS) | dict.fromkeys(
            recording, f"#!/bin/sh\ncat >> {tmp_path}/read\n"
        )
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return tmp_path / "read"

    return put


def test_a_node_that_knows_only_the_older_way_gets_the_rules_by_it(programs: Callable[..., Path]) -> None:
    read = programs(
        failing=("iptables", "iptables-nft"), recording=("iptables-legacy", "iptables-legacy-restore")
    )
    assert iptables.apply(Interception()) == DEFAULT
    assert read.read_text() == DEFAULT


def test_every_way_that_failed_is_told(programs: Callable[..., Path]) -> None:
    programs(failing=iptables.PROGRAMS)
    with pytest.raises(InterceptionError) as refused:
        iptables.apply(Interception())
    words = str(refused.value)
    assert words.count("not supported") == 3 and "iptables-legacy: " in words and "NET_ADMIN" in words
    assert "\n" not in words
