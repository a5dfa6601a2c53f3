"""The injector's webhook on a port of its own, and an API server's way of asking it."""

import asyncio
import http.client
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mesh.citadel.authority import Authority, Subject
from mesh.injector.main import https
from mesh.injector.webhook import Injector
from mesh.pki.clock import utc_now
from mesh.pki.holder import Holder
from mesh.pki.keypair import KeyPair
from mesh.pki.serving import client_context
from mesh.pki.spiffe import Identity
from tests.pki.authorities import SKEW, authority

NAME = "istio-sidecar-injector.istio-system.svc"
ME = Identity("cluster.local", "istio-system", "istio-sidecar-injector")
PROGRAM = [sys.executable, "-m", "mesh.injector.main"]


class Signer:
    """An authority in this process; it may be exchanged."""

    def __init__(self) -> None:
        self.by: Authority = authority()

    async def sign(self, csr: bytes, *, seconds: int, present: KeyPair | None) -> bytes:
        """Sign for the injector, whoever asks."""
        del seconds, present
        key: Any = x509.load_pem_x509_csr(csr).public_key()
        subject = Subject(ME, (NAME,))
        made = self.by.sign(subject, key, now=utc_now(), lifetime=timedelta(hours=1), skew=SKEW)
        return self.by.chain(made)

    @property
    def root(self) -> bytes:
        """What callers have to trust."""
        return self.by.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class Webhook:
    """The server, in a thread of its own, and its mounted files."""

    folder: Path
    signer: Signer = field(default_factory=Signer)
    port: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stack = AsyncExitStack()
        self.holder = Holder(ME, self.signer)

    def write(self, **files: str) -> None:
        """Write files as the kubelet does: at once, with a new time."""
        for name, content in files.items():
            path = self.folder / name
            path.with_suffix(".new").write_text(content)
            os.utime(path.with_suffix(".new"), (time.time(), time.time_ns() / 1e9))
            path.with_suffix(".new").rename(path)

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
        context = client_context(self.signer.root)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        try:
            with context.wrap_socket(plain, server_hostname=NAME) as secured:
                connection = http.client.HTTPConnection(NAME)
                connection.sock = secured
                yield connection
        finally:
            plain.close()

    def renew(self) -> None:
        """Have the server's certificate replaced."""
        self._run(self.holder.renew("a test asks"))

    def start(self) -> None:
        """Serve; the settings are read first."""
        self._thread.start()
        self._run(self._start())

    def stop(self) -> None:
        """Serve no longer."""
        self._run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        injector = Injector(self.folder, self.folder / "mesh")
        await self.holder.first()
        self.port = await self._stack.enter_async_context(
            https(injector.routes(), self.holder, 0, "127.0.0.1")
        )

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


@contextmanager
def webhook(folder: Path, **files: str) -> Iterator[Webhook]:
    """A running webhook with these settings (`values`, `mesh`)."""
    made = Webhook(folder)
    made.write(**{"values": "{}"} | files)
    made.start()
    try:
        yield made
    finally:
        made.stop()
