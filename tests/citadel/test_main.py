"""S1: Citadel as a program: it serves, says what it cannot do, ends when asked to; two of them get along."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mesh.citadel.kube import encoded
from mesh.citadel.main import duration, parser, settings_of
from mesh.pki import csr as csrs
from mesh.pki.keys import new_key
from tests import loops
from tests.citadel.rig import Mesh, certificate, eventually, mesh
from tests.citadel.test_operator import texts
from tests.citadel.test_rotation import done, roots, wish, with_pilot
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S1")


@contextmanager
def program(served: Served, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Citadel in a process of its own."""
    ports = ["--token-port", "0", "--mutual-port", "0", "--http-port", "0", "--listen", "127.0.0.1"]
    command = [sys.executable, "-m", "mesh.citadel.main", "--kubeconfig", str(served.kubeconfig)]
    with subprocess.Popen(
        [*command, *ports, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def said(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """The first line of the log with that event."""
    assert process.stdout is not None
    for line in process.stdout:
        found: dict[str, Any] = json.loads(line)
        if found["event"] == event:
            return found
    raise AssertionError(f"it ended without {event!r}: {process.communicate()[1]}")


def prepared(served: Served) -> str:
    namespace = served.namespace()
    served.run(served.api.create("serviceaccounts", {"metadata": {"name": "istio-citadel"}}, namespace))
    return namespace


def test_it_serves_until_it_is_asked_to_end(served: Served) -> None:
    with program(served, "--namespace", prepared(served), "--trust-domain", "example.org") as process:
        port = said(process, "serving")["http"]
        for path in ("ready", "version", "metrics"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as answer:
                body = answer.read().decode()
        assert "citadel_server_csr_count_total 0.0" in body
        assert "citadel_server_root_cert_expiry_timestamp" in body
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/debug", timeout=20)
        caught.value.close()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--algorithm", "dsa"), "'dsa' is no key algorithm"),
        (("--trust-domain", "No Domain"), "is no trust domain"),
        (("--kubeconfig", "/nowhere"), "cannot read the Kubernetes API's address"),
    ],
)
def test_what_it_cannot_use_is_said_in_one_line(
    served: Served, arguments: tuple[str, ...], words: str
) -> None:
    with program(served, "--namespace", prepared(served), *arguments) as process:
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
        assert words in errors
        assert len(errors.splitlines()) == 1


def test_a_bad_authority_ends_it_with_its_name(served: Served) -> None:
    namespace = prepared(served)
    data = {name: text for name, text in texts().items() if name != "ca-key.pem"}
    secret = {"metadata": {"name": "cacerts"}, "type": "Opaque", "data": encoded(data)}
    served.run(served.api.create("secrets", secret, namespace))
    with program(served, "--namespace", namespace) as process:
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
        assert errors.startswith(f"istio-citadel: Secret {namespace}/cacerts has no key 'ca-key.pem'")


def test_a_port_that_is_taken(served: Served) -> None:
    namespace = prepared(served)
    with program(served, "--namespace", namespace) as first:
        port = said(first, "serving")["token_port"]
        with program(served, "--namespace", namespace, "--token-port", str(port)) as second:
            _, errors = second.communicate(timeout=20)
            assert f"cannot serve CSRs on 127.0.0.1:{port}" in errors


def test_durations() -> None:
    options = parser().parse_args(["--workload-lifetime", "90m", "--root-lifetime", "3650d"])
    assert settings_of(options).workload_lifetime == duration("90m") == duration("5400s")
    for text in ("", "h", "-1h", "0s", "1w", "1.5h", "99999999999d"):
        with pytest.raises(SystemExit):
            parser().parse_args(["--workload-lifetime", text])


async def only_one(it: Mesh) -> bool:
    """Whether only one root is trusted; what is published follows what is kept."""
    return len(await roots(it)) == 1


def test_two_of_them_share_authority_ledger_and_rotations(served: Served) -> None:
    """An update runs two for a moment."""

    async def test() -> None:
        async with mesh(served) as one, mesh(served, namespace=one.namespace) as two:
            assert one.citadel.trust.roots() == two.citadel.trust.roots()
            me = await one.account(one.namespace, "forecast")
            pair = await certificate(one, me)
            client = await two.client(me, token="not used")
            await client.sign(csrs.request(me, new_key()), seconds=60, present=pair)
            serial = f"{pair.leaf.serial_number:x}"
            await eventually(lambda: two.citadel.ledger.get(serial), "the other's ledger")
            await wish(one, "both")
            await with_pilot(one, lambda: done(one, "both"), "the rotation's end")
            await eventually(lambda: only_one(one), "one root")
            await eventually(lambda: one.citadel.trust.roots() == two.citadel.trust.roots(), "the same root")

    loops.run(test())
