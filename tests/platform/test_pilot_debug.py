"""Pilot's debug interface by a forwarded port: answers, refusals, and a Pilot that was replaced."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
from kubernetes import config

from mesh.cli.errors import CommandError
from mesh.cli.wait import target_of
from mesh.platform.forward import CannotForward
from mesh.platform.pilot import PilotDebug, PilotRefused
from tests.platform.test_forward import Handler, Server
from tests.pocketkube.api.rig import Served
from tests.pocketkube.api.test_portforward import open_pod

pytestmark = pytest.mark.behaviour("S3")


class Answers(Handler):
    """JSON of the path; `/no` is refused with a message."""

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it by that name
        self.peers.add(self.client_address)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        refused = self.path == "/no"
        body = b'{"message": "not for you"}' if refused else f'"{self.path}"'.encode()
        self.send_response(403 if refused else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(port: int = 0) -> Iterator[tuple[Server, type[Handler]]]:
    handler = type("Own", (Answers,), {"peers": set()})
    server = Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server, handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def debug(served: Served, port: int) -> Iterator[PilotDebug]:
    make: Any = config.new_client_from_config
    namespace = open_pod(served)
    with (
        closing(make(str(served.kubeconfig))) as client,
        closing(PilotDebug(client, lambda: "p", namespace=namespace, port=port)) as made,
    ):
        yield made


def test_answers_come_as_json_over_one_connection(served: Served) -> None:
    with serving() as (server, handler), debug(served, server.server_address[1]) as pilot:
        assert pilot.request("GET", "/debug/syncz") == "/debug/syncz"
        assert pilot.request("POST", "debug/in-force", {"objects": []}) == "/debug/in-force"
        assert len(handler.peers) == 1


def test_a_refusal_has_pilots_words(served: Served) -> None:
    with serving() as (server, _), debug(served, server.server_address[1]) as pilot:
        with pytest.raises(PilotRefused, match="not for you") as refused:
            pilot.request("GET", "/no")
        assert refused.value.status == 403
        assert pilot.request("GET", "/yes") == "/yes"


def test_threads_do_not_wait_for_each_other(served: Served) -> None:
    with serving() as (server, handler), debug(served, server.server_address[1]) as pilot:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda n: pilot.request("GET", f"/{n}"), range(20)))
        assert answers == [f"/{n}" for n in range(20)]
        assert 1 <= len(handler.peers) <= 4


def test_a_pilot_that_is_away_is_said_to_be_and_found_when_it_is_back(served: Served) -> None:
    with serving() as (server, _):
        port = server.server_address[1]
    with debug(served, port) as pilot:
        with pytest.raises(CannotForward, match="cannot connect to port"):
            pilot.request("GET", "/")
        with serving(port):
            assert pilot.request("GET", "/back") == "/back"


def test_what_can_be_waited_for() -> None:
    assert target_of("cm").plural == "configmaps"
    assert target_of("Secret").kind == "Secret"
    assert target_of("services").kind == "Service"
    with pytest.raises(CommandError, match="'cloud' is not a kind of the mesh"):
        target_of("cloud")
