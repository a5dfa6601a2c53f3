"""A real istio-policy in this process, with rules from files, and a gRPC client that asks as Envoy does."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import yaml
from envoy.service.auth.v3 import external_auth_pb2

from mesh.galley.source.files import FileSource
from mesh.mixer.core import RETRY
from mesh.mixer.live import Live
from mesh.mixer.policy.gate import Limits
from mesh.mixer.policy.serving import Policy, Settings, serving
from mesh.mixer.world import World
from mesh.pki.holder import Holder
from mesh.pki.trust import Trust
from mesh.registry.static import StaticRegistry
from mesh.rules.adapter import Adapter
from mesh.tasks import background

SERVICES = {
    "services": [
        {
            "name": "forecast",
            "namespace": "weather",
            "addresses": ["10.1.0.1"],
            "ports": [{"number": 3002, "name": "http"}],
            "instances": [
                {
                    "address": "10.0.0.1",
                    "name": "forecast-v1",
                    "labels": {"app": "forecast", "version": "v1"},
                    "service_account": "forecast",
                },
                {"address": "127.0.0.1", "name": "forecast-local", "labels": {"app": "forecast"}},
            ],
        },
        {
            "name": "frontend",
            "namespace": "weather",
            "ports": [{"number": 3000, "name": "http"}],
            "instances": [
                {
                    "address": "10.0.0.2",
                    "name": "frontend-v1",
                    "labels": {"app": "frontend", "version": "v1"},
                    "service_account": "frontend",
                }
            ],
        },
    ]
}
CHECK = "/envoy.service.auth.v3.Authorization/Check"
CheckRequest = external_auth_pb2.CheckRequest
CheckResponse = external_auth_pb2.CheckResponse


def thing(kind: str, name: str, namespace: str = "istio-system", **spec: Any) -> dict[str, Any]:
    """An object of Mixer's configuration."""
    return {
        "apiVersion": "config.istio.io/v1alpha2",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def handler(name: str, adapter: str, namespace: str = "istio-system", **params: Any) -> dict[str, Any]:
    """A handler."""
    return thing("handler", name, namespace, compiledAdapter=adapter, params=params)


def instance(name: str, template: str, namespace: str = "istio-system", **params: Any) -> dict[str, Any]:
    """An instance."""
    return thing("instance", name, namespace, compiledTemplate=template, params=params)


def rule(
    name: str,
    match: str = "",
    actions: list[dict[str, Any]] | None = None,
    namespace: str = "istio-system",
    **further: Any,
) -> dict[str, Any]:
    """A rule."""
    return thing("rule", name, namespace, match=match, actions=actions or [], **further)


def action(of: str, *instances: str, name: str = "") -> dict[str, Any]:
    """A rule's action."""
    return {"handler": of, "instances": list(instances), **({"name": name} if name else {})}


def request(
    headers: Mapping[str, str] | None = None,
    *,
    path: str = "/",
    method: str = "GET",
    source: str = "10.0.0.2",
    principal: str = "",
    destination: str = "10.0.0.1",
    port: int = 3002,
    extensions: Mapping[str, str] | None = None,
    time: float = 0.0,
) -> external_auth_pb2.CheckRequest:
    """A check as a sidecar asks it: frontend calls forecast."""
    made = CheckRequest()
    attributes = made.attributes
    attributes.source.address.socket_address.address = source
    attributes.source.principal = principal
    attributes.destination.address.socket_address.address = destination
    attributes.destination.address.socket_address.port_value = port
    http = attributes.request.http
    http.method, http.path, http.host, http.scheme = method, path, "forecast:3002", "http"
    http.headers.update({":method": method, ":path": path, **(headers or {})})
    inbound = {"context.reporter.kind": "inbound", "context.protocol": "http"}
    attributes.context_extensions.update(inbound if extensions is None else extensions)
    if time:
        attributes.request.time.FromNanoseconds(int(time * 1e9))
    return made


@dataclass(slots=True)
class Rig:
    """A running istio-policy, the file of its rules, and a client."""

    policy: Policy
    rules: Path
    channel: Any
    config: FileSource

    async def check(
        self,
        asked: external_auth_pb2.CheckRequest,
        *,
        within: float = 10.0,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> external_auth_pb2.CheckResponse:
        """Ask; raises `grpc.aio.AioRpcError` where there is no answer."""
        call = self.channel.unary_unary(
            CHECK,
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        answer: external_auth_pb2.CheckResponse = await call(asked, timeout=within, metadata=metadata)
        return answer

    async def status(self, headers: Mapping[str, str] | None = None, **further: Any) -> int:
        """The HTTP status that a caller would see; 200 if allowed."""
        answer = await self.check(request(headers, **further))
        return answer.denied_response.status.code if answer.status.code else 200

    async def change(self, *objects: dict[str, Any]) -> Live:
        """Replace the rules, and wait until they are in force."""
        following, before = self.policy.following, self.policy.following.generation
        write(self.rules, *objects)
        self.config.read()
        async with asyncio.timeout(30):
            return await following.until(lambda _: following.generation > before)

    async def page(self, path: str) -> str:
        """A page of its HTTP port."""
        url = f"http://127.0.0.1:{self.policy.http}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    async def metric(self, line: str) -> float:
        """The value of a line of its metrics; 0 if there is none."""
        for each in (await self.page("/metrics")).splitlines():
            if each.rpartition(" ")[0] == line:
                return float(each.rpartition(" ")[2])
        return 0.0


def write(path: Path, *objects: dict[str, Any]) -> None:
    """Write objects to a file that a source reads."""
    path.write_text(yaml.safe_dump_all(objects))


@asynccontextmanager
async def running(
    folder: Path,
    *objects: dict[str, Any],
    adapters: Mapping[str, type[Adapter[Any]]] | None = None,
    limits: Limits | None = None,
    deadline: float = 5.0,
    cached: int = 1000,
    services: list[dict[str, Any]] | None = None,
    retry: tuple[float, float] = RETRY,
    identity: Holder | None = None,
    trust: Trust | None = None,
) -> AsyncIterator[Rig]:
    """Run istio-policy with these rules; over mutual TLS if it has an identity, and then without a client."""
    known, rules = folder / "services.yaml", folder / "rules.yaml"
    known.write_text(yaml.safe_dump(SERVICES if services is None else {"services": services}))
    write(rules, *objects)
    world = World(StaticRegistry(known), FileSource([rules]), identity, trust)
    settings = Settings(
        "127.0.0.1",
        0,
        0,
        folder=folder,
        deadline=deadline,
        cached=cached,
        limits=limits or Limits(),
        retry=retry,
    )
    async with AsyncExitStack() as stack:
        world.tasks = [
            background(stack, world.registry.run(), "registry"),
            background(stack, world.config.run(), "config"),
        ]
        policy = await stack.enter_async_context(serving(world, settings, adapters=adapters))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{policy.grpc}"))
        assert isinstance(world.config, FileSource)
        yield Rig(policy, rules, channel, world.config)
