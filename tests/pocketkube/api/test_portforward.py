"""Port forwarding: SPDY frames by themselves, then kubectl and the Python client through them."""

import re
import socket
import subprocess
import sysconfig
import threading
import zlib
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pocketkube.api.rest import spdy
from tests.pocketkube.api.rig import Served, pod
from tests.pocketkube.api.test_clients import opened

pytestmark = pytest.mark.behaviour("H1")


class Shouter:
    """Answers each connection with what came, in capitals, once the other side is done."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Shouter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(20)
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data.upper())


def open_pod(served: Served) -> str:
    namespace = served.namespace()
    served.run(served.api.create("pods", pod(), namespace))
    status = {"status": {"podIP": "127.0.0.1", "phase": "Running"}}
    served.run(served.api.patch("pods", "p", namespace, status, subresource="status"))
    return namespace


def shout(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(text)
        answer = b""
        while len(answer) < len(text):
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
        return answer


def test_kubectl_forwards_several_connections(served: Served) -> None:
    namespace = open_pod(served)
    program = str(Path(sysconfig.get_path("scripts")) / "kubectl")
    environment = {"KUBECONFIG": str(served.kubeconfig), "HOME": str(served.folder)}
    with Shouter() as shouter:
        words = [program, "port-forward", "-n", namespace, "pod/p", f":{shouter.port}", "--address=127.0.0.1"]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            found = re.search(r"127.0.0.1:(\d+) ->", process.stdout.readline())
            assert found is not None
            port = int(found[1])
            assert shout(port, b"hello") == b"HELLO"
            assert shout(port, b"x" * 300_000) == b"X" * 300_000
            process.terminate()


def test_kubectl_tells_of_a_port_that_nobody_listens_on(served: Served) -> None:
    namespace = open_pod(served)
    program = str(Path(sysconfig.get_path("scripts")) / "kubectl")
    environment = {"KUBECONFIG": str(served.kubeconfig), "HOME": str(served.folder)}
    with Shouter() as shouter:
        closed = shouter.port
    words = [program, "port-forward", "-n", namespace, "pod/p", f":{closed}", "--address=127.0.0.1"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = re.search(r"127.0.0.1:(\d+) ->", process.stdout.readline())
        assert found is not None
        assert shout(int(found[1]), b"hello") == b""
        assert "cannot connect to port" in process.stderr.readline()
        process.terminate()


def test_the_python_client_forwards(served: Served) -> None:
    kubernetes: Any = import_module("kubernetes")
    forward = import_module("kubernetes.stream").portforward
    namespace = open_pod(served)
    made = kubernetes.config.new_client_from_config(str(served.kubeconfig))
    with Shouter() as shouter, opened(made) as connection:
        core = kubernetes.client.CoreV1Api(connection)
        forwarded = forward(
            core.connect_get_namespaced_pod_portforward, "p", namespace, ports=str(shouter.port)
        )
        with closing(forwarded):
            tunnel = forwarded.socket(shouter.port)
            tunnel.settimeout(10)
            tunnel.sendall(b"hello")
            assert tunnel.recv(100) == b"HELLO"


def syn_stream(framing: spdy.Framing, stream: int, **headers: str) -> bytes:
    """A SYN_STREAM frame as the other side sends it."""
    import struct

    words = [word.encode() for pair in headers.items() for word in pair]
    block = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(word)) + word for word in words)
    packed = framing._deflate.compress(block) + framing._deflate.flush(2)
    body = struct.pack(">IIH", stream, 0, 0) + packed
    return struct.pack(">II", 1 << 31 | 3 << 16 | 1, len(body)) + body


def test_frames_come_whole_however_they_are_cut() -> None:
    sender, receiver = spdy.Framing(), spdy.Framing()
    sent = syn_stream(sender, 1, streamtype="data", port="80") + spdy.data_frame(1, b"abc", finished=True)
    sent += spdy.ping_frame(7) + spdy.reset_frame(1)
    frames = [frame for at in range(len(sent)) for frame in receiver.receive(sent[at : at + 1])]
    assert frames == [
        spdy.Opened(1, {"streamtype": "data", "port": "80"}),
        spdy.Data(1, b"abc", finished=True),
        spdy.Ping(7),
        spdy.Reset(1),
    ]


@pytest.mark.parametrize(
    "data", [b"\x80\x02\x00\x01\x00\x00\x00\x00", b"\x80\x03\x00\x01\x00\x00\x00\x0c" + b"x" * 12]
)
def test_what_is_no_spdy(data: bytes) -> None:
    with pytest.raises(spdy.ProtocolError):
        list(spdy.Framing().receive(data))


def test_the_dictionary_is_that_of_the_protocol() -> None:
    assert zlib.adler32(spdy._DICTIONARY) == 0xE3C6A7C2
