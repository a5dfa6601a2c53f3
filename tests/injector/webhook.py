"""A real `sidecar-injector` process, and an API server's way of asking it."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.install.certificates import ServingCertificate

NAME = "istio-sidecar-injector.istio-system.svc"
PROGRAM = [sys.executable, "-m", "mesh.injector.main"]


@dataclass
class Webhook:
    """The process and its mounted files."""

    folder: Path
    port: int
    certificate: ServingCertificate = field(
        default_factory=lambda: ServingCertificate.make("istio-sidecar-injector", "istio-system")
    )
    process: subprocess.Popen[str] | None = None

    def write(self, **files: str | bytes) -> None:
        """Write files as the kubelet does: at once, with a new time."""
        for name, content in files.items():
            path = self.folder / name.replace("_", "-")
            data = content.encode() if isinstance(content, str) else content
            path.with_suffix(".new").write_bytes(data)
            os.utime(path.with_suffix(".new"), (time.time(), time.time_ns() / 1e9))
            path.with_suffix(".new").rename(path)

    def write_certificate(self, certificate: ServingCertificate) -> None:
        self.certificate = certificate
        self.write(**{"key.pem": certificate.key, "cert_chain.pem": certificate.certificate})

    def command(self) -> list[str]:
        here = str(self.folder)
        mesh = str(self.folder / "mesh")
        return [*PROGRAM, "--port", str(self.port), "--config", here, "--certs", here, "--mesh-config", mesh]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request, as the API server sends it: the certificate must be for the Service's name."""
        raw = json.dumps(body) if isinstance(body, dict) else body
        with self.connected() as connection:
            connection.request(method, path, raw, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        return answer.status, json.loads(text) if answer.status == 200 and text[:1] == "{" else text

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        context = ssl.create_default_context(cadata=self.certificate.root.decode())
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        with context.wrap_socket(plain, server_hostname=NAME) as secured:
            connection = http.client.HTTPConnection(NAME)
            connection.sock = secured
            yield connection

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            assert self.process is not None and self.process.poll() is None, "the webhook ended"
            try:
                assert self.ask("GET", "/ready") == (200, "ready\n")
            except OSError:
                assert time.monotonic() < deadline, "the webhook does not answer"
            else:
                return

    def end(self) -> tuple[int, str]:
        """Ask it to end; its exit code and what it said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def webhook(folder: Path, **files: str) -> Iterator[Webhook]:
    """A running webhook with these settings (`values`, `mesh`)."""
    made = Webhook(folder, free_port())
    made.write_certificate(made.certificate)
    made.write(**{"values": "{}"} | files)
    made.process = subprocess.Popen(made.command(), stderr=subprocess.PIPE, text=True)
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.process.kill()
        made.process.communicate()
