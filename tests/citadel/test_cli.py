"""S1, S3: `meshctl cert` against a real Citadel and a real Pilot on a served API."""

import asyncio
import io
import json
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from typing import Any

import pytest
import structlog
from cryptography import x509

from mesh.citadel.citadel import serving
from mesh.cli.main import main
from mesh.galley.source.files import FileSource
from mesh.pilot.pilot import Listen
from mesh.pilot.platform import on_platform
from mesh.pilot.settings import Settings
from tests import loops
from tests.citadel.rig import Clock, Mesh, certificate, settings_for
from tests.live import client_of
from tests.pocketkube.api.rig import Echo, Served, add_namespace

pytestmark = pytest.mark.behaviour("S1", "S3")
SYSTEM = "istio-system"


class Redirected(socket.socket):
    """A socket of the Pod istio-pilot: its port 15014 is the one that Pilot could have."""

    port = 0

    def connect(self, address: Any) -> None:
        super().connect((address[0], self.port))


class Node(Echo):
    """A node on which Pilot runs."""

    def pod_socket(self, pod: Any) -> socket.socket:
        made = Redirected(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        return made


@pytest.fixture(scope="module", autouse=True)
def logs_apart() -> Iterator[None]:
    """Citadel and Pilot run in the test's process; what they log is not what meshctl prints."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API server of its own, with the mesh's namespace and a ready Pod of Pilot."""
    with Served(tmp_path_factory.mktemp("installed")) as served:
        served.run(prepare(served))
        yield served


async def prepare(served: Served) -> None:
    api = served.api
    await add_namespace(api, SYSTEM)
    await api.create("serviceaccounts", {"metadata": {"name": "istio-citadel"}}, SYSTEM)
    containers = [{"name": "discovery", "image": "i:1"}]
    metadata = {"name": "istio-pilot-1", "labels": {"app": "istio-pilot"}}
    await api.create("pods", {"metadata": metadata, "spec": {"containers": containers}}, SYSTEM)
    status = {"podIP": "127.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await api.patch("pods", "istio-pilot-1", SYSTEM, {"status": status}, subresource="status")
    api.kubelet = Node()


@asynccontextmanager
async def control_plane(served: Served) -> AsyncIterator[Mesh]:
    """Citadel and Pilot in one process, as in the compact profile."""
    clock = Clock()
    async with (
        client_of(served.kubeconfig) as client,
        serving(settings_for(SYSTEM), client, clock=clock) as citadel,
        on_platform(
            client, FileSource(()), Settings(None), Listen("127.0.0.1", 0, 0, 0),
            identity=citadel.identity, trust=citadel.trust, follow_trust=False,
        ) as pilot,
    ):  # fmt: skip
        Redirected.port = pilot.http
        yield Mesh(served, SYSTEM, clock, citadel)


async def meshctl(served: Served, *arguments: str, code: int = 0) -> str:
    """Run meshctl; its standard output, or its error if it shall end with another code."""
    out, errors = io.StringIO(), io.StringIO()

    def run() -> int:
        with redirect_stdout(out), redirect_stderr(errors), pytest.raises(SystemExit) as end:
            main(["cert", *arguments, "--kubeconfig", str(served.kubeconfig)])
        return int(end.value.code or 0)

    assert await asyncio.to_thread(run) == code, out.getvalue() + errors.getvalue()
    return errors.getvalue() if code else out.getvalue()


def test_what_there_is_and_what_expires_when(installed: Served) -> None:
    async def test() -> None:
        async with control_plane(installed) as it:
            me = await it.account("default", "forecast")
            pair = await certificate(it, me)
            rows = json.loads(await meshctl(installed, "list", "-o", "json"))
            mine = [row for row in rows if row["identity"] == me.uri]
            assert [row["serial"] for row in mine] == [f"{pair.leaf.serial_number:x}"]
            table = await meshctl(installed, "list", "--namespace", "default")
            assert table.splitlines()[0].split() == ["IDENTITY", "STATE", "LEFT", "ISSUED", "SERIAL"]
            assert "59m" in table
            assert "istio-citadel" not in table
            shown = await meshctl(installed, "show")
            assert "root, issues now" in shown
            assert "Citadel root" in shown
            assert "valid" in await meshctl(installed, "show", "default/forecast")
            forecast = json.loads(await meshctl(installed, "forecast", "-o", "json"))
            assert [row["what"] for row in forecast][-1] == "root"
            assert any(row["name"] == me.uri for row in forecast)
            assert "root" not in await meshctl(installed, "forecast", "--within", "30")

    loops.run(test())


def test_revoke_returns_when_it_is_in_force_and_restore_takes_it_back(installed: Served) -> None:
    async def test() -> None:
        async with control_plane(installed) as it:
            me = await it.account("default", "advertisement")
            pair, other = await certificate(it, me), await certificate(it, me)
            said = await meshctl(installed, "revoke", f"{pair.leaf.serial_number:x}")
            assert "1 certificate, in force at 0 proxies" in said

            def reason(leaf: x509.Certificate) -> str | None:
                return it.citadel.trust.bundle.revocations.reason(leaf)

            assert reason(pair.leaf) is not None
            assert reason(other.leaf) is None
            await meshctl(installed, "revoke", "default/advertisement", "--reason", "superseded")
            assert "superseded" in str(reason(other.leaf))
            revoked = json.loads(await meshctl(installed, "list", "--revoked", "-o", "json"))
            assert len(revoked) == 2
            await meshctl(installed, "restore", "default/advertisement")
            assert reason(other.leaf) is None
            assert reason(pair.leaf) is not None
            await certificate(it, me)

    loops.run(test())


def test_a_workload_that_is_denied_is_not_waited_for_and_any_other_is(installed: Served) -> None:
    async def test() -> None:
        async with control_plane(installed) as it:
            me = await it.account("default", "away")
            pair = await certificate(it, me)
            await it.on_api(sidecar(installed, "away-1", "away"))
            serial = f"{pair.leaf.serial_number:x}"
            said = await meshctl(installed, "revoke", serial, "--timeout", "4", code=4)
            assert "still waiting for away-1.default to connect again" in said
            said = await meshctl(installed, "revoke", "default/away", "--timeout", "20")
            assert "no new certificate is issued" in said
            await it.delete("pods", "away-1", "default")

    loops.run(test())


async def sidecar(served: Served, name: str, account: str) -> None:
    """A ready Pod with a sidecar that never comes to Pilot."""
    spec = {
        "serviceAccountName": account,
        "containers": [{"name": "main", "image": "i:1"}, {"name": "istio-proxy", "image": "i:1"}],
    }
    await served.api.create("pods", {"metadata": {"name": name}, "spec": spec}, "default")
    status = {"podIP": "198.18.9.9", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await served.api.patch("pods", name, "default", {"status": status}, subresource="status")


def test_the_root_is_rotated_to_the_end_with_pilots_help(installed: Served) -> None:
    async def test() -> None:
        async with control_plane(installed) as it:
            before = it.citadel.trust.bundle.certificates[0]
            said = await meshctl(installed, "rotate-root", "--timeout", "30")
            (now,) = it.citadel.trust.bundle.certificates
            assert now != before
            assert said.splitlines()[-1] == f"done: the root is {now.subject.rfc4514_string()}"
            assert it.citadel.identity.pair.leaf.issuer == now.subject
            every = json.loads(await meshctl(installed, "list", "--all", "-o", "json"))
            assert {row["state"] for row in every} >= {"valid", "untrusted"}
            shown = json.loads(await meshctl(installed, "list", "-o", "json"))
            assert {row["state"] for row in shown} <= {"valid", "revoked"}

    loops.run(test())


MISTAKES = (
    ("neither an identity nor a serial number", ("revoke", "forecast")),
    ("is no trust domain", ("revoke", "spiffe://UPPER/ns/a/sa/b")),
    ("the ledger has no certificate of", ("revoke", "default/nobody")),
    ("is the control plane's own", ("revoke", f"{SYSTEM}/istio-citadel")),
    ("is no reason that a CRL knows", ("revoke", "default/nobody", "--reason", "spite")),
    ("is not revoked", ("restore", "default/nobody")),
    ("the ledger has no certificate of", ("show", "abcdef0123456789")),
)


def test_mistakes_are_explained(installed: Served) -> None:
    async def test() -> None:
        async with control_plane(installed):
            for words, arguments in MISTAKES:
                said = await meshctl(installed, *arguments, code=1)
                assert words in said
                assert "try: " in said

    loops.run(test())


def test_without_citadel_it_is_said_what_is_missing(served: Served) -> None:
    async def test() -> None:
        for arguments in (("show",), ("rotate-root",), ("revoke", "a/b")):
            assert "Citadel has not" in await meshctl(served, *arguments, code=1)

    loops.run(test())
