"""S7: CUSTOM asks real servers, over HTTP and over gRPC, about requests and about connections."""

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2
from google.rpc import code_pb2

from tests.pilot.authz import rig
from tests.pilot.authz.calls import Call, Workload
from tests.pilot.authz.compiled import Compiled
from tests.pilot.authz.gate import cluster
from tests.pilot.jwt.echo import ROUTE, echo
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("S7")

HOST = "gate.weather.svc.cluster.local"
HTTP, GRPC = f"outbound|9000||{HOST}", f"outbound|9001||{HOST}"
FRONTEND = "cluster.local/ns/weather/sa/frontend"
SERVICE = {"service": f"weather/{HOST}"}
MESH = {
    "extensionProviders": [
        {
            "name": "http",
            "envoyExtAuthzHttp": {
                **SERVICE,
                "port": 9000,
                "pathPrefix": "/check",
                "timeout": "5s",
                "includeRequestHeadersInCheck": ["x-user", "x-pre-*"],
                "includeAdditionalHeadersInCheck": {"x-from": "mesh"},
                "includeRequestBodyInCheck": {"maxRequestBytes": 64, "allowPartialMessage": True},
                "headersToUpstreamOnAllow": ["x-seen-by"],
                "headersToDownstreamOnDeny": ["x-why", "x-detail-*"],
                "headersToDownstreamOnAllow": ["x-receipt"],
            },
        },
        {"name": "grpc", "envoyExtAuthzGrpc": {**SERVICE, "port": 9001, "timeout": "5s"}},
        {"name": "open", "envoyExtAuthzHttp": {**SERVICE, "port": 9002, "timeout": "1s", "failOpen": True}},
        {"name": "shut", "envoyExtAuthzGrpc": {**SERVICE, "port": 9002, "statusOnError": "503"}},
    ]
}  # fmt: skip
SERVICES = """
- name: gate
  namespace: weather
  addresses: [10.1.0.7]
  ports: [{number: 9000, name: http}, {number: 9001, name: grpc}, {number: 9002, name: http-away}]
  instances: [{address: 10.0.0.7}]
"""
ASKED = {"to": [{"operation": {"paths": ["/ask*"]}}]}


class Handler(BaseHTTPRequestHandler):
    """Allows what comes with `x-user: alice`, and tells what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[dict[str, Any]]

    def answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0))).decode()
        self.asked.append({"path": self.path, "headers": headers, "body": body})
        self.send_response(200 if headers.get("x-user") == "alice" else 418)
        for name in ("x-seen-by", "x-why", "x-detail-a", "x-receipt", "x-secret"):
            self.send_header(name, "gate")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Keep quiet."""


@contextmanager
def over_http() -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Handler,), {"asked": asked})) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield cluster(HTTP, server.server_port), asked
        server.shutdown()


@contextmanager
def over_grpc() -> Iterator[tuple[Any, list[Any]]]:
    """Allows the frontend's requests with `x-user: alice`, and its connections."""
    asked: list[Any] = []

    def check(request: Any, context: grpc.ServicerContext) -> Any:
        asked.append(request)
        headers = request.attributes.request.http.headers
        alice = not request.attributes.request.http.method or headers.get("x-user") == "alice"
        good = alice and request.attributes.source.principal == f"spiffe://{FRONTEND}"
        answer = external_auth_pb2.CheckResponse()
        answer.status.code = code_pb2.OK if good else code_pb2.PERMISSION_DENIED
        if good and request.attributes.request.http.method:
            option = base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key="x-seen-by", value="gate"))
            answer.ok_response.headers.append(option)
        return answer

    handler = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=external_auth_pb2.CheckRequest.FromString,
        response_serializer=external_auth_pb2.CheckResponse.SerializeToString,
    )
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        service = "envoy.service.auth.v3.Authorization"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Check": handler}),))
        number = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield cluster(GRPC, number, http2=True), asked
        server.stop(None).wait()


class Gates:
    """Real servers and Envoy; `call` makes a call that a provider is asked about."""

    def __init__(self, callers: rig.Callers, at: dict[str, Workload], asked: dict[str, list[Any]]) -> None:
        self._callers, self._at, self._asked = callers, at, asked

    def call(self, name: str, call: Call) -> rig.Answer:
        return self._callers.call(call, self._at[name].address, self._at[name].ports)

    def last(self, kind: str) -> Any:
        """What a server was asked last."""
        return self._asked[kind][-1]

    def count(self, kind: str) -> int:
        return len(self._asked[kind])


def policy(name: str, provider: str, *, tcp: bool = False) -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "ask", "namespace": name},
        "spec": {"action": "CUSTOM", "provider": {"name": provider}, "rules": [{}] if tcp else [ASKED]},
    }


def allowing(name: str) -> dict[str, Any]:
    """What is let through, whatever a provider says, must be allowed too."""
    rules = [{"from": [{"source": {"notNamespaces": ["prod"]}}]}]
    metadata = {"name": "allow", "namespace": name}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata,
        "spec": {"rules": rules},
    }


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gates]:
    folder = tmp_path_factory.mktemp("external")
    ports = (free_port(),)
    providers = {
        "http": "http",
        "grpc": "grpc",
        "open": "open",
        "shut": "shut",
        "tcp": "grpc",
        "none": "nobody",
    }
    both = {"both": ("http", "grpc")}
    at = {
        name: Workload(name, {}, f"127.{100 + os.getpid() % 100}.8.{number + 1}", ports)
        for number, name in enumerate([*providers, *both])
    }
    policies = [policy(name, provider, tcp=name == "tcp") for name, provider in providers.items()]
    policies += [allowing(name) for name in at]
    for each in both["both"]:
        policies.append(policy("both", each))
        policies[-1]["metadata"]["name"] = each
    compiled = Compiled(policies, MESH, SERVICES)
    served = [
        rig.Served(
            name, w.address, ports, compiled.filters(w, tcp=name == "tcp"), tcp=name == "tcp", route=ROUTE
        )
        for name, w in at.items()
    ]
    away = cluster(f"outbound|9002||{HOST}", 9)
    with (
        over_http() as (http, requests),
        over_grpc() as (over, checks),
        echo() as behind,
        rig.envoy(served, folder, [http, over, away, *behind]),
    ):
        yield Gates(rig.Callers(folder), at, {"http": requests, "grpc": checks})


ALICE = {"x-user": "alice"}


def arrived(answer: rig.Answer) -> dict[str, str]:
    assert answer.status == 200, answer
    headers: dict[str, str] = json.loads(answer.body)["headers"]
    return headers


def test_http_allows(gates: Gates) -> None:
    answer = gates.call("http", Call(path="/ask/x?y", headers={**ALICE, "x-pre-a": "1", "x-not": "2"}))
    assert arrived(answer)["x-seen-by"] == "gate"
    assert "x-secret" not in arrived(answer)
    assert answer.headers["x-receipt"] == "gate"
    assert "x-why" not in answer.headers
    asked = gates.last("http")
    assert asked["path"] == "/check/ask/x?y"
    assert (asked["headers"]["x-pre-a"], asked["headers"]["x-from"]) == ("1", "mesh")
    assert "x-not" not in asked["headers"]


def test_http_denies_with_its_own_status(gates: Gates) -> None:
    answer = gates.call("http", Call(path="/ask"))
    assert answer.status == 418
    assert (answer.headers["x-why"], answer.headers["x-detail-a"]) == ("gate", "gate")
    assert "x-secret" not in answer.headers
    assert answer.details == "ext_authz_denied"


@pytest.mark.parametrize(("name", "kind"), [("http", "http"), ("grpc", "grpc")])
def test_what_no_rule_matches_is_not_asked(gates: Gates, name: str, kind: str) -> None:
    before = gates.count(kind)
    assert gates.call(name, Call(path="/other")).status == 200
    assert gates.count(kind) == before


def test_what_is_allowed_there_may_still_be_denied_here(gates: Gates) -> None:
    call = Call(path="/ask", headers=ALICE, identity="other.example/ns/prod/sa/frontend")
    answer = gates.call("http", call)
    assert answer.status == 403
    assert "policy[allow]" in answer.details or "[none]" in answer.details


def test_grpc_knows_the_caller(gates: Gates) -> None:
    call = Call(path="/ask", headers=ALICE, identity=FRONTEND)
    assert arrived(gates.call("grpc", call))["x-seen-by"] == "gate"
    assert gates.call("grpc", Call(path="/ask", headers=ALICE)).status == 403
    assert gates.call("grpc", Call(path="/ask", identity=FRONTEND)).status == 403
    assert gates.last("grpc").attributes.request.http.path == "/ask"


def test_grpc_about_connections(gates: Gates) -> None:
    assert gates.call("tcp", Call(tcp=True, identity=FRONTEND)).status == 200
    assert gates.call("tcp", Call(tcp=True, identity="cluster.local/ns/weather-dev/sa/ads")).status == 0


def test_two_providers_are_both_asked(gates: Gates) -> None:
    assert gates.call("both", Call(path="/ask", headers=ALICE, identity=FRONTEND)).status == 200
    assert gates.call("both", Call(path="/ask", headers=ALICE)).status == 403
    assert gates.call("both", Call(path="/ask", identity=FRONTEND)).status in (403, 418)


def test_a_provider_that_is_away(gates: Gates) -> None:
    assert gates.call("open", Call(path="/ask")).status == 200
    assert gates.call("shut", Call(path="/ask")).status == 503
    assert gates.call("shut", Call(path="/other")).status == 200


def test_a_provider_that_is_not_there_refuses_what_the_rules_match(gates: Gates) -> None:
    answer = gates.call("none", Call(path="/ask"))
    assert answer.status == 403
    assert "policy[ask]-rule[0]-deny-due-to-bad-CUSTOM-action" in answer.details
    assert gates.call("none", Call(path="/other")).status == 200
