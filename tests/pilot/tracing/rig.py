"""A gateway and a sidecar, both real Envoys with what Pilot compiled, before a server; and a collector."""

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from mesh.api.meshconfig import MeshConfig
from tests.pilot.compile.envoys import inbound, running
from tests.pilot.compile.test_envoy import bootstrap
from tests.pilot.compile.test_traffic import Upstream
from tests.pilot.compile.world import World, gateway
from tests.pilot.tracing.collector import Collector, collecting
from tests.ports import free_port

Config = dict[str, Any]

SERVICES = """
- name: forecast
  namespace: weather
  addresses: [10.1.0.2]
  ports: [{{number: 3002, name: http}}]
  instances: [{{address: 127.0.0.1, ports: {{3002: {sidecar}}}, labels: {{app: forecast}}}}]
- name: zipkin
  namespace: istio-system
  addresses: [10.1.0.7]
  ports: [{{number: 9411, name: http-zipkin}}]
  instances: [{{address: 127.0.0.1, ports: {{9411: {collector}}}}}]
"""
RULES = """
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, bind: 127.0.0.1, hosts: ["*"]}}]
---
kind: VirtualService
metadata: {{name: forecast}}
spec:
  hosts: ["*"]
  gateways: [edge]
  http: [{{route: [{{destination: {{host: forecast}}}}]}}]
"""
SOON = {
    f"tracing.{tracer}.{name}": value
    for tracer in ("zipkin", "opentelemetry")
    for name, value in (("min_flush_spans", 1), ("flush_interval_ms", 100))
}


@dataclass
class Rig:
    """Where to call, and what was collected. `direct` is the sidecar, past the gateway."""

    url: str
    direct: str
    collector: Collector
    upstream: Upstream

    def get(self, headers: Mapping[str, str] = {}, *, direct: bool = False) -> dict[str, list[str]]:
        """Call; the headers that the server got."""
        url = (self.direct if direct else self.url) + "/weather"
        answer = requests.get(url, headers=dict(headers), timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, list[str]] = answer.json()["headers"]
        return found

    def many(self, count: int) -> list[dict[str, list[str]]]:
        """Call often, some calls at a time."""
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda _: self.get(), range(count)))


def mesh(sampling: float = 100.0, **more: Any) -> MeshConfig:
    """Settings with a share of traces."""
    return MeshConfig.model_validate({"defaultConfig": {"tracing": {"sampling": sampling}}, **more})


@contextlib.contextmanager
def rig(folder: Path, settings: MeshConfig, rules: str = "") -> Iterator[Rig]:
    """All of it, until the block ends."""
    port, own = free_port(), free_port()
    upstream = Upstream("v1", "127.0.0.1")
    try:
        with collecting() as collector:
            services = SERVICES.format(sidecar=own, collector=collector.port)
            world = World(services, RULES.format(port=port), settings)
            world.rules(rules)
            beside = named(inbound(world, "127.0.0.1", own, upstream.port, []), "sidecar", "forecast.weather")
            edge = bootstrap(world.everything(gateway()).values())
            edge = named(edge, "router", "istio-ingressgateway.istio-system")
            with running(beside, folder / "sidecar", own), running(edge, folder / "gateway", port):
                yield Rig(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{own}", collector, upstream)
    finally:
        upstream.stop()


def named(config: Config, kind: str, name: str) -> Config:
    """The bootstrap of a proxy of this name, that sends spans at once."""
    app, _, namespace = name.partition(".")
    metadata = {"NAME": name, "NAMESPACE": namespace, "LABELS": {"app": app}}
    node = {"id": f"{kind}~127.0.0.1~{name}~local", "cluster": name, "metadata": metadata}
    layers = [{"name": "soon", "static_layer": SOON}]
    return {**config, "node": node, "layered_runtime": {"layers": layers}}
