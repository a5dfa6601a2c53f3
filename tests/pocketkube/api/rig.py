"""What the tests stand on: an API with a namespace, one served over TLS, certificates, small objects."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import itertools
import json
import os
import socket
import ssl
import subprocess
import sysconfig
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pocketkube.api.api import Api
from pocketkube.api.hooks import Output
from pocketkube.api.objects import Obj
from pocketkube.api.server import ApiServer
from pocketkube.api.users import ADMIN
from tests.loops import WatchedLoop

T = TypeVar("T")
TOKEN = "a-token-of-the-tests"
_numbers = itertools.count(1)


async def new_api(*namespaces: str, clock: Callable[[], datetime] | None = None) -> Api:
    """An API with namespaces, each with its default ServiceAccount."""
    api = Api(clock=clock) if clock else Api()
    for name in namespaces or ("demo",):
        await add_namespace(api, name)
    return api


async def add_namespace(api: Api, name: str, **labels: str) -> None:
    await api.create("namespaces", {"metadata": {"name": name, "labels": labels}})
    await api.create("serviceaccounts", {"metadata": {"name": "default"}}, name)


def pod(name: str = "p", **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "i:1"}], **spec}}


def deployment(name: str = "d", image: str = "i:1") -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def service(name: str = "s", **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec}}


def config_map(name: str = "c", **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


def definition(group: str = "example.io", **schema: Any) -> Obj:
    """A CustomResourceDefinition of `Widget` with the versions v1 (stored) and v1alpha3."""
    properties = {
        "spec": {"type": "object", **schema},
        "status": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }
    shared = {
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        "subresources": {"status": {}},
    }
    column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [column],
                    **shared,
                },
                {"name": "v1alpha3", "served": True, "storage": False, **shared},
            ],
        },
    }


@dataclass(frozen=True)
class Certificate:
    """A certificate that is its own authority."""

    pem: bytes
    key: bytes

    @classmethod
    def make(cls, *names: str) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(next(_numbers))
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(made.public_bytes(serialization.Encoding.PEM), private)

    def context(self, folder: Path) -> ssl.SSLContext:
        """For a server that shows it."""
        path = folder / f"certificate-{next(_numbers)}.pem"
        path.write_bytes(self.pem + self.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    @property
    def bundle(self) -> str:
        return base64.b64encode(self.pem).decode()


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Echo:
    """Nodes that run nothing: logs are made up of the question, commands answer with their input."""

    async def logs(self, pod: Obj, container: str, **wanted: Any) -> AsyncIterator[bytes]:
        for number in range(wanted["tail"] or 2):
            yield f"{pod['metadata']['name']}/{container} {number}\n".encode()

    async def exec(
        self,
        pod: Obj,
        container: str,
        command: list[str],
        *,
        stdin: AsyncIterator[bytes] | None,
        tty: bool,
        out: Output,
    ) -> int:
        await out(1, " ".join(command).encode() + b"\n")
        async for data in stdin or _nothing():
            await out(1, data)
        await out(2, b"done\n")
        return int(command[-1]) if command[-1].isdigit() else 0

    def pod_address(self, pod: Obj) -> str:
        return str(pod["status"].get("podIP", ""))

    def pod_socket(self, pod: Obj) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        return made


async def _nothing() -> AsyncIterator[bytes]:
    for _ in ():
        yield b""


class Served:
    """An API server in a thread of its own, with a kubeconfig for clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._certificate = Certificate.make("localhost", "127.0.0.1")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = folder / "ca.pem"
        self.headers = {"Authorization": f"Bearer {TOKEN}"}
        self.api: Api
        self._loop = WatchedLoop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Served:
        self.ca.write_bytes(self._certificate.pem)
        self._write_kubeconfig()
        self._thread.start()
        self._server = self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def namespace(self) -> str:
        """A new namespace."""
        name = f"n{next(_numbers)}"
        self.run(add_namespace(self.api, name))
        return name

    def kubectl(
        self, *arguments: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl; AssertionError with its words if it fails."""
        done = subprocess.run(
            [str(Path(sysconfig.get_path("scripts")) / "kubectl"), *arguments],
            input=stdin or None,
            stdin=None if stdin else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder), "PATH": os.environ["PATH"]},
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    async def _start(self) -> ApiServer:
        self.api = await new_api("default", "kube-system")
        self.api.kubelet = Echo()
        server = ApiServer(self.api, {TOKEN: ADMIN})
        await server.start([self._listener], self._certificate.context(self.folder))
        return server

    async def _stop(self) -> None:
        await self._server.stop()
        await self.api.close()
        await self._loop.all_closed()

    def _write_kubeconfig(self) -> None:
        cluster = {"server": self.url, "certificate-authority-data": self._certificate.bundle}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": {"token": TOKEN}}],
        }
        self.kubeconfig.write_text(json.dumps(config))
