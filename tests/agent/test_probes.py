"""The kubelet's probes, carried out by the agent: what it may be told, and each kind with real servers."""

import asyncio
import json
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import pytest
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from mesh.agent import iptables
from mesh.agent.environment import EnvironmentProblem
from mesh.agent.http import Request, Response
from mesh.agent.prober import Prober
from mesh.agent.probes import VARIABLE, Grpc, HttpGet, Probe, TcpSocket, read
from tests import loops
from tests.agent.inside import run
from tests.pocketkube.api.rig import Certificate

pytestmark = pytest.mark.behaviour("I2")

PATH = "/app-health/app/livez"
HOST = "127.0.0.1"
KUBELETS = Request("GET", PATH, "198.18.0.1", (("host", "198.18.0.7:15020"),))


def parsed(**value: Any) -> Probe:
    return read({VARIABLE: json.dumps({PATH: value})})[PATH]


def test_what_the_injector_writes() -> None:
    get = {"port": 8080, "path": "healthz", "scheme": "HTTPS", "httpHeaders": [{"name": "A", "value": "b"}]}
    assert parsed(httpGet=get, timeoutSeconds=3) == Probe(
        HttpGet(8080, "/healthz", tls=True, headers=(("A", "b"),)), 3.0
    )
    assert parsed(tcpSocket={"port": "8080"}) == Probe(TcpSocket(8080), 1.0)
    assert parsed(grpc={"port": 9, "service": None}) == Probe(Grpc(9))
    assert read({}) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Expecting"),
        ("[]", "an object"),
        ('{"/x": {"tcpSocket": {"port": 1}}}', "/x: the path must be"),
        (f'{{"{PATH}": {{}}}}', "one of httpGet, tcpSocket, grpc, found none"),
        (f'{{"{PATH}": {{"tcpSocket": {{"port": 1}}, "grpc": {{"port": 1}}}}}}', "found tcpSocket, grpc"),
        (f'{{"{PATH}": {{"tcpSocket": {{"port": 70000}}}}}}', "between 1 and 65535"),
        (f'{{"{PATH}": {{"tcpSocket": {{"host": "a"}}}}}}', "'port' is missing"),
        (f'{{"{PATH}": {{"httpGet": {{"port": 1, "scheme": "FTP"}}}}}}', "HTTP or HTTPS"),
        (f'{{"{PATH}": 3}}', PATH),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(EnvironmentProblem, match=VARIABLE) as raised:
        read({VARIABLE: text})
    assert words in str(raised.value)


async def application(request: web.Request) -> web.Response:
    if request.path == "/slow":
        await asyncio.sleep(5)
    if request.path == "/away":
        raise web.HTTPFound("http://elsewhere.example/")
    if request.path == "/again":
        raise web.HTTPFound("/again")
    if request.path == "/moved":
        raise web.HTTPFound("/healthz?moved")
    if request.path == "/broken":
        return web.Response(status=503, text="no")
    if request.path == "/large":
        return web.Response(text="x" * 100_000)
    headers = sorted(f"{name.lower()}={value}" for name, value in request.headers.items())
    return web.json_response({"path": request.path_qs, "peer": request.remote, "headers": headers})


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None, host: str = HOST) -> AsyncIterator[int]:
    """The application on a free port."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", application)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ask(action: Any, *headers: tuple[str, str], seconds: float = 5.0) -> Response:
    prober = Prober({PATH: Probe(action, seconds)}, HOST)
    return await prober.answer(replace(KUBELETS, headers=(*KUBELETS.headers, *headers)))


def asked(path: str, **wanted: Any) -> Response:
    """The answer to an HTTP probe of that path."""

    async def test() -> Response:
        seconds = wanted.pop("seconds", 5.0)
        async with serving() as port:
            return await ask(
                HttpGet(port, path, **wanted), ("user-agent", "kube-probe/1.32"), seconds=seconds
            )

    return loops.run(test())


def test_the_application_sees_the_kubelets_headers_and_the_probes_own() -> None:
    answer = asked("/healthz?deep", headers=(("X-A", "1"), ("X-A", "2"), ("Host", "app.example")))
    seen = json.loads(answer.body)
    assert (answer.status, seen["path"], seen["peer"]) == (200, "/healthz?deep", "127.0.0.6")
    assert {"host=app.example", "x-a=1", "x-a=2", "user-agent=kube-probe/1.32"} <= set(seen["headers"])


def test_its_host_is_the_kubelets_unless_the_probe_has_one() -> None:
    assert "host=198.18.0.7:15020" in json.loads(asked("/healthz").body)["headers"]


@pytest.mark.parametrize(
    ("path", "status"), [("/broken", 503), ("/moved", 200), ("/away", 302), ("/again", 500), ("/large", 200)]
)
def test_its_status_is_the_answer(path: str, status: int) -> None:
    answer = asked(path)
    assert answer.status == status
    assert len(answer.body) <= 10 * 1024


def test_a_redirect_within_the_application_is_followed() -> None:
    assert json.loads(asked("/moved").body)["path"] == "/healthz?moved"


def test_a_port_that_the_container_does_not_name_fails_as_the_kubelets_probe_would() -> None:
    probe = parsed(httpGet={"port": "web"})
    answer = loops.run(ask(probe.action))
    assert answer == Response(500, b"the container has no port named 'web'\n")


def test_too_slow_is_a_failure() -> None:
    answer = asked("/slow", seconds=0.1)
    assert answer == Response(500, b"no answer within 0.1 s\n")


def test_https_is_not_verified(tmp_path: Path) -> None:
    async def test() -> Response:
        async with serving(Certificate.make("another.example").context(tmp_path)) as port:
            return await ask(HttpGet(port, "/healthz", tls=True))

    assert loops.run(test()).status == 200


def test_a_socket_that_is_open_is_enough() -> None:
    async def test() -> list[Response]:
        async with serving() as port:
            found = [await ask(TcpSocket(port))]
        return [*found, await ask(TcpSocket(port)), await ask(HttpGet(port)), await ask(Grpc(port))]

    opened, *closed = loops.run(test())
    assert opened == Response(200, b"connected\n")
    assert [each.status for each in closed] == [500, 500, 500]
    assert all(b"TcpSocket" in each.body or b"Connect call failed" in each.body for each in closed)


def test_grpc_health() -> None:
    async def test() -> list[Response]:
        server, servicer = grpc.aio.server(), health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port(f"{HOST}:0")
        await servicer.set("sick", health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.start()
        try:
            return [await ask(Grpc(port, service)) for service in ("", "sick", "unheard")]
        finally:
            await server.stop(None)

    serving_, sick, unheard = loops.run(test())
    assert serving_ == Response(200, b"serving\n")
    assert (sick.status, unheard.status) == (500, 500)
    assert b"NOT_SERVING" in sick.body and b"NOT_FOUND" in unheard.body


def test_what_does_not_speak_grpc_is_given_up_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def test() -> Response:
        server = await asyncio.start_server(silent, HOST, 0)
        try:
            return await ask(Grpc(server.sockets[0].getsockname()[1]), seconds=0.3)
        finally:
            server.close()

    assert loops.run(test()) == Response(500, b"no answer within 0.3 s\n")


POD = "198.18.7.2"
PROXY = 1337


def intercept() -> None:
    subprocess.run(["ip", "address", "add", f"{POD}/32", "dev", "lo"], check=True)
    iptables.apply(iptables.Interception())


async def probes_past_envoy(_: Path) -> Any:
    """Every kind of probe to the Pod's own address, as the proxy's user, under the rules of interception."""
    from mesh.agent import grpc_health  # noqa: F401 - the proxy's user may not be able to read the project

    intercept()
    server, servicer = grpc.aio.server(), health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    health_port = server.add_insecure_port(f"{POD}:0")
    await server.start()
    async with serving(host=POD) as port:
        os.setegid(PROXY)
        os.seteuid(PROXY)
        actions = (HttpGet(port, "/healthz"), TcpSocket(port), Grpc(health_port))
        found: list[Any] = [
            (await Prober({PATH: Probe(each)}, POD).answer(KUBELETS)).status for each in actions
        ]
        try:
            await asyncio.open_connection(POD, port)
        except OSError as error:
            found.append(type(error).__name__)
        os.seteuid(0)
        os.setegid(0)
    await server.stop(None)
    return found


def test_interception_lets_the_agents_probes_pass(tmp_path: Path) -> None:
    assert run(probes_past_envoy, tmp_path) == [200, 200, 200, "ConnectionRefusedError"]
