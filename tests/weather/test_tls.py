"""The client's TLS: what it shows and believes, what it tells of the other side; a server that tells too."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from pytest_mesh.authority import Authority, identity_of, signed_by
from pytest_mesh.responses import Heard
from tests.weather.conftest import Running, Start

pytestmark = pytest.mark.behaviour("H2")
NAME = "server.example"


@dataclass(frozen=True, slots=True)
class Server:
    """An echo server that speaks TLS 1.3 and 1.2, and the authority behind it and its clients."""

    port: int
    authority: Authority

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def tls(self, *names: str, **more: Any) -> dict[str, Any]:
        """Trust the server, and show a certificate for names if there are any."""
        shown = self.authority.issue(*names, **more).tls() if names else {}
        return {"ca": self.authority.pem, "server_name": NAME, "check_name": True, **shown}


@pytest.fixture(scope="module")
def client(start: Start) -> Running:
    return start("client")


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Server:
    authority = Authority.new()
    pair = authority.intermediate().issue(NAME)
    folder = tmp_path_factory.mktemp("tls")
    for name, text in (("tls.crt", pair.certificate), ("tls.key", pair.key), ("ca.crt", authority.pem)):
        (folder / name).write_text(text)
    start("echo", TLS_FOLDER=str(folder), TLS_PORT=str(free_port))
    return Server(free_port, authority)


def heard(client: Running, server: Server, tls: dict[str, Any], **talk: Any) -> list[Heard]:
    response = client.post("/talk", {"address": f"127.0.0.1:{server.port}", "tls": tls, **talk})
    assert response.status_code == 200, response.text
    return [Heard(**each) for each in response.json()["heard"]]


def test_a_request_shows_its_certificate_and_the_name_it_asks_for(client: Running, server: Server) -> None:
    wish = {"url": f"{server.url}/", "tls": server.tls("spiffe://d/ns/a/sa/b"), "count": 2}
    outcomes = client.post("/call", wish).json()["outcomes"]
    assert [outcome["error"] for outcome in outcomes] == ["", ""]
    assert '"sni": "server.example", "client": ["spiffe://d/ns/a/sa/b"]' in outcomes[0]["body"]


def test_without_a_certificate_there_is_none_to_tell_of(client: Running, server: Server) -> None:
    (outcome,) = client.post("/call", {"url": f"{server.url}/", "tls": server.tls()}).json()["outcomes"]
    assert '"client": []' in outcome["body"]
    (anyway,) = client.post("/call", {"url": f"{server.url}/"}).json()["outcomes"]
    assert anyway["status"] == 200


def test_the_servers_chain_is_told(client: Running, server: Server) -> None:
    (found,) = heard(client, server, server.tls())
    assert found.taken
    assert found.version == "TLSv1.3"
    assert len(found.chain) == 2
    assert signed_by(found.chain[0], found.chain[1])
    assert signed_by(found.chain[1], server.authority.pem)
    with pytest.raises(AssertionError, match="one URI"):
        identity_of(found.leaf)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_certificate_that_is_not_good_is_refused_in_either_version(
    client: Running, server: Server, version: str
) -> None:
    good = server.tls("spiffe://d/ns/a/sa/b")
    expired = server.tls("spiffe://d/ns/a/sa/b", start=timedelta(days=-2))
    foreign = {**good, **Authority.new().issue("spiffe://d/ns/a/sa/b").tls()}
    results = [heard(client, server, {**tls, "version": version})[0] for tls in (good, expired, foreign)]
    assert [each.taken for each in results] == [True, False, False]
    assert {each.version for each in results} <= {f"TLSv{version}", ""}


def test_a_session_is_resumed(client: Running, server: Server) -> None:
    for version in ("1.2", "1.3"):
        first, second = heard(client, server, {**server.tls(), "version": version}, count=2, resume=True)
        assert (first.resumed, second.resumed) == (False, True)
        assert second.taken


def test_a_server_that_is_not_believed_is_an_outcome(client: Running, server: Server) -> None:
    (found,) = heard(client, server, {"ca": Authority.new().pem})
    assert "CERTIFICATE_VERIFY_FAILED" in found.error
    assert not found.handshake
    (other,) = heard(client, server, {**server.tls(), "server_name": "other.example"})
    assert "other.example" in other.error


def test_bytes_are_exchanged(client: Running, server: Server) -> None:
    request = f"GET /a HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
    (found,) = heard(client, server, server.tls(), send=request)
    assert found.received.startswith("HTTP/1.1 200")
    (plain,) = client.post(
        "/talk", {"address": f"127.0.0.1:{server.port}", "send": request, "timeout": 2}
    ).json()["heard"]
    assert plain["connected"]
    assert "200 OK" not in plain["received"]


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"sni": "x"}, "unknown field 'sni'"),
        ({"certificate": "x"}, "belong together"),
        ({"ca": "no certificate"}, "cannot be used"),
        ({"version": "1.1"}, "tls.version"),
        ("yes", "JSON object"),
    ],
)
def test_a_wish_that_cannot_be_met_names_its_field(client: Running, tls: Any, words: str) -> None:
    asked = client.post("/talk", {"address": "127.0.0.1:1", "tls": tls})
    assert asked.status_code == 400
    assert words in asked.text
    if isinstance(tls, dict):
        called = client.post("/call", {"url": "https://127.0.0.1:1/", "tls": tls})
        assert called.status_code == 400
        assert words in called.text
    assert client.post("/talk", {"address": "nowhere"}).status_code == 400
