"""Service addresses, names and hosts outside, with real packets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pocketkube.node.inside import Node, run
from tests.pocketkube.node.pods import Nodes, nodes, ready, state

pytestmark = pytest.mark.behaviour("H1")

SERVER = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (socket.gethostname() + ' ' + self.client_address[0]).encode()
        self.send_response(200); self.send_header('content-length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest): pass
http.server.ThreadingHTTPServer(('', 8080), Handler).serve_forever()
"""
FETCH = """
import sys, urllib.error, urllib.request
for _ in range(int(sys.argv[2])):
    try: print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
    except (OSError, urllib.error.URLError) as error: print(error)
"""
PROBE = {"httpGet": {"port": 8080}, "periodSeconds": 1}
PORTS = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]


async def serve(made: Nodes, *names: str) -> list[str]:
    """Start server Pods, one on each node in turn; their addresses."""
    for number, name in enumerate(names):
        own = {"command": ["python", "-c", SERVER], "readinessProbe": PROBE}
        await made.run(name, "", container=own, nodeName=f"pocket-{number % 2 + 1}")
    return [(await made.until(name, ready))["status"]["podIP"] for name in names]


async def expose(made: Nodes, name: str, addresses: list[str], **spec: Any) -> Any:
    service = {"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": PORTS, **spec}}
    created = await made.api.create("services", service, "default")
    slice_ = {
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }
    await made.api.create("endpointslices.discovery.k8s.io", slice_, "default")
    return created


async def fetch(made: Nodes, pod: str, url: str, count: int = 1) -> list[str]:
    _code, printed = await made.command(pod, "python", "-c", FETCH, url, str(count))
    return printed.splitlines()


async def node_fetches(node: Node, *urls: str) -> list[str]:
    """What the node itself gets, as its probes and the API server's proxy do."""
    answers = [await node.reaper.run([sys.executable, "-I", "-c", FETCH, url, "1"]) for url in urls]
    return [answer.output.decode() for answer in answers]


async def reaches_services(node: Node) -> Any:
    async with nodes(node) as made:
        addresses = await serve(made, "one", "two")
        address = (await expose(made, "web", addresses))["spec"]["clusterIP"]
        await expose(made, "own", addresses[:1])
        await expose(made, "none", [])
        await expose(made, "peers", addresses, clusterIP="None")
        return {
            "addresses": addresses,
            "short": await fetch(made, "one", "http://web/", 40),
            "long": await fetch(made, "one", "http://web.default.svc.cluster.local/"),
            "hairpin": await fetch(made, "one", "http://own/"),
            "none": await fetch(made, "one", "http://none/"),
            "other port": await fetch(made, "one", "http://web:81/"),
            "headless": await fetch(made, "two", "http://peers:8080/", 20),
            "unknown": await fetch(made, "one", "http://nobody.default/"),
            "node": await node_fetches(
                node, "http://198.18.9.9/", "http://198.19.9.9/", f"http://{address}/"
            ),
            "localhost": await fetch(made, "one", "http://localhost:8080/"),
        }


def test_services_by_name_and_address(tmp_path: Path) -> None:
    seen = run(reaches_services, tmp_path)
    assert {line.split()[0] for line in seen["short"]} == {"one", "two"}
    assert seen["long"][0].split()[0] in ("one", "two")
    assert seen["hairpin"] == ["one 198.18.0.1"], "it answers through the translation"
    assert "refused" in seen["none"][0]
    assert "refused" in seen["other port"][0]
    assert {line.split()[0] for line in seen["headless"]} <= {"one", "two"}
    assert "Name or service not known" in seen["unknown"][0]
    dead_pod, no_service, served = seen["node"]
    assert "refused" in dead_pod
    assert "refused" in no_service
    assert served.split()[1] == "198.18.0.1"
    assert seen["localhost"] == ["one 127.0.0.1"]


def test_a_service_keeps_the_clients_address(tmp_path: Path) -> None:
    seen = run(reaches_services, tmp_path)
    assert {line for line in seen["short"] if line.startswith("two")} == {f"two {seen['addresses'][0]}"}


async def stays_with_one(node: Node) -> Any:
    async with nodes(node) as made:
        addresses = await serve(made, "one", "two")
        await expose(made, "web", addresses, sessionAffinity="ClientIP")
        return await fetch(made, "one", "http://web/", 20)


def test_affinity_keeps_a_client_with_its_endpoint(tmp_path: Path) -> None:
    assert len({line.split()[0] for line in run(stays_with_one, tmp_path)}) == 1


async def meets_the_outside(node: Node) -> Any:
    async with nodes(node) as made:
        addresses = await serve(made, "one")
        service = await expose(made, "web", addresses, type="LoadBalancer")
        found = service["status"].get("loadBalancer", {}).get("ingress") or []
        bank = await made.outside.start("bank.example.com", ["python", "-c", SERVER], {})
        client = await made.outside.start("client.example.com", [], {})
        await made.run("job", f"cat <<'EOF' > /tmp/f.py\n{FETCH}\nEOF\n" + WAIT, restartPolicy="Never")
        await made.until("job", lambda pod: state(pod).get("terminated"))
        target = f"http://{found[0]['ip'] if found else service['spec']['clusterIP']}/"
        incoming = await made.outside.execute("client.example.com", ["python", "-c", FETCH, target, "1"])
        await made.outside.stop("bank.example.com")
        after = await fetch(made, "one", "http://bank.example.com:8080/")
        return [bank, client, await made.log("job"), incoming["stdout"], after]


WAIT = """
until python /tmp/f.py http://bank.example.com:8080/ 1 | grep bank; do sleep 0.05; done
"""


def test_hosts_outside_the_cluster(tmp_path: Path) -> None:
    bank, client, outgoing, incoming, after = run(meets_the_outside, tmp_path)
    assert (bank, client) == ("198.18.250.1", "198.18.250.2")
    assert outgoing == "bank 198.18.1.3\n"
    assert incoming == f"one {client}\n"
    assert "not known" in after[0]
