"""The servers that tests need beside the demo: a shelf for small texts, a guard that decides for others."""

import grpc  # type: ignore[import-untyped]
import pytest
import requests
from envoy.service.auth.v3 import external_auth_pb2
from google.rpc import code_pb2

from tests.weather.conftest import Start
from weather.services.guard import METHOD

pytestmark = pytest.mark.behaviour("H2")


def test_a_shelf_hands_out_what_was_put_there_and_counts(start: Start) -> None:
    shelf = start("shelf")
    path = f"{shelf.url}/keys/jwks.json"
    assert shelf.get("/keys/jwks.json").status_code == 404
    headers = {"Content-Type": "application/json"}
    assert requests.put(path, data=b'{"keys": []}', headers=headers, timeout=30).status_code == 204
    answer = shelf.get("/keys/jwks.json")
    assert (answer.text, answer.headers["Content-Type"]) == ('{"keys": []}', "application/json")
    assert shelf.get("/keys/jwks.json?times").json() == {"times": 1}
    requests.put(f"{path}?status=503", data=b"later", timeout=30)
    assert shelf.get("/keys/jwks.json").status_code == 503
    assert shelf.delete("/keys/jwks.json").status_code == 204
    assert shelf.delete("/keys/jwks.json").status_code == 404


def test_a_guard_decides_over_http_and_grpc(start: Start, free_port: int) -> None:
    guard = start("guard", TCP_PORT=str(free_port))
    denied = guard.get("/any/path")
    assert (denied.status_code, denied.headers["x-guard-result"]) == (403, "denied")
    allowed = guard.get("/any/path", headers={"x-ext-authz": "allow"})
    assert (allowed.status_code, allowed.headers["x-guard-result"]) == (200, "allowed")
    with grpc.insecure_channel(f"127.0.0.1:{free_port}") as channel:
        check = channel.unary_unary(
            METHOD,
            request_serializer=external_auth_pb2.CheckRequest.SerializeToString,
            response_deserializer=external_auth_pb2.CheckResponse.FromString,
        )
        wish = external_auth_pb2.CheckRequest()
        assert check(wish, timeout=30).status.code == code_pb2.PERMISSION_DENIED
        wish.attributes.request.http.headers["x-ext-authz"] = "allow"
        assert check(wish, timeout=30).status.code == code_pb2.OK
