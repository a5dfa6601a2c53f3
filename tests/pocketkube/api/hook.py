"""A webhook: a real HTTPS server that answers AdmissionReviews as a test wants it to."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from pocketkube.api.api import Api
from pocketkube.api.objects import Obj
from tests.pocketkube.api.rig import Certificate

Answer = Callable[[Obj], Obj]
MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"


def allow(*patch: Obj, **more: Any) -> Answer:
    """Answers yes, with a patch if there are operations."""

    def answer(_request: Obj) -> Obj:
        if not patch:
            return {"allowed": True, **more}
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        return {"allowed": True, "patchType": "JSONPatch", "patch": encoded, **more}

    return answer


def deny(**status: Any) -> Answer:
    return lambda _request: {"allowed": False, "status": status}


class Hook:
    """Listens on 127.0.0.1; `requests` are those it was asked."""

    def __init__(
        self, folder: Path, answer: Answer, *, name: str = "hook.system.svc", delay: float = 0.0
    ) -> None:
        self.requests: list[Obj] = []
        self.headers: list[dict[str, str]] = []
        self.answer = answer
        self.status = 200
        self.delay = delay
        self.certificate = Certificate.make(name)
        self._folder = folder

    async def __aenter__(self) -> Hook:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener, ssl_context=self.certificate.context(self._folder)).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.requests.append(review["request"])
        self.headers.append(dict(request.headers))
        if self.delay:
            await asyncio.sleep(self.delay)
        response = {"uid": review["request"]["uid"], **self.answer(review["request"])}
        body = {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}
        return web.json_response(body, status=self.status)

    async def serve_as(self, api: Api, name: str = "hook", namespace: str = "system") -> None:
        """Make the Service `name` lead here."""
        port = {"port": 443, "name": "https", "targetPort": self.port}
        await api.create("services", {"metadata": {"name": name}, "spec": {"ports": [port]}}, namespace)
        piece = {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": self.port}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        }
        await api.create("endpointslices.discovery.k8s.io", piece, namespace)

    def webhook(self, name: str = "pods.hook.io", **more: Any) -> Obj:
        """One webhook's entry, for creation of Pods."""
        service = {"name": "hook", "namespace": "system", "path": "/inject"}
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        return {
            "name": name,
            "clientConfig": {"service": service, "caBundle": self.certificate.bundle},
            "rules": [rule],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            **more,
        }


async def configure(api: Api, resource: str, *webhooks: Obj, name: str = "config") -> None:
    await api.create(resource, {"metadata": {"name": name}, "webhooks": list(webhooks)})
