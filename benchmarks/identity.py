"""From a Pod's creation to its first certificate; how fast Citadel signs; what admission costs."""

import json
import re
import statistics
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pytest_mesh import eventually
from pytest_mesh.authority import Authority
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh
from pytest_mesh.pods import Pod

PODS = 5
REQUESTS, THREADS = 90, 8  # one identity may make 100 at once before it is slowed down
WRITES = 100
ISSUED = re.compile(r"^(\S+) .*certificate.*wanted=the first", re.MULTILINE)
PROGRAM = Path(__file__).with_name("signing.py")


@dataclass(frozen=True, slots=True)
class First:
    """Median seconds from creating a Pod until its agent has a certificate, and until it is ready."""

    pods: int
    certificate: float
    ready: float


def first_certificates(mesh: Mesh) -> First:
    """Create Pods with a sidecar one after the other."""
    times = [one(mesh, number) for number in range(PODS)]
    certificates, ready = zip(*times, strict=True)
    return First(PODS, statistics.median(certificates), statistics.median(ready))


def one(mesh: Mesh, number: int) -> tuple[float, float]:
    """One Pod's two times."""
    labels = {"app": f"bench-{number}", "version": "v1"}
    container: Obj = {"name": "app", "image": "meshwright/weather:0.1.0", "args": ["advertisement"]}
    metadata: Obj = {"name": f"bench-{number}", "namespace": "weather", "labels": labels}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    item = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    begin = time.time()
    made = Pod(mesh.api, mesh.api.create(item))
    try:
        eventually(lambda: made.refresh().ready, 30)
        ready = time.time() - begin
        return eventually(lambda: logged(made)) - begin, ready
    finally:
        made.delete(grace_seconds=0)


def logged(pod: Pod) -> float:
    """When the agent noted its first certificate; 0 if it has not yet."""
    query = {"container": "istio-proxy", "timestamps": "true"}
    found = ISSUED.search(str(pod.api.request("GET", f"{pod.path}/log", query=query)))
    return datetime.fromisoformat(found[1][:26].rstrip("Z") + "+00:00").timestamp() if found else 0.0


def signed_per_second(mesh: Mesh, client: Pod) -> float:
    """Certificates a second over gRPC with mutual TLS, eight requests under way at a time."""
    authority = Authority.of(mesh.api)
    name = "spiffe://cluster.local/ns/weather/sa/client"
    pair = authority.issue(name)
    shown = {"certificate": pair.certificate, "key": pair.key, "csr": csr(name)}
    wish = {**shown, "requests": REQUESTS, "threads": THREADS}
    text = PROGRAM.read_text()
    told = json.loads(client.run("istio-proxy", "python", "-c", text, json.dumps(wish)))
    if told["refused"]:
        raise RuntimeError(
            f"Citadel refused {told['refused']} of {told['signed'] + told['refused']} requests"
        )
    return float(told["signed"] / told["seconds"])


def csr(name: str) -> str:
    """A signing request for a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    made = builder.add_extension(names, critical=True).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def admission(mesh: Mesh) -> tuple[float, float]:
    """Median milliseconds of a dry write: of a rule, which Galley's webhook judges; of what has none."""
    route = [{"destination": {"host": "forecast", "subset": "v1"}}]
    metadata = {"name": "bench", "namespace": "weather"}
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata,
        "spec": {"hosts": ["forecast"], "http": [{"route": route}]},
    }
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
    return dry(mesh, rule), dry(mesh, other)


def dry(mesh: Mesh, item: Obj) -> float:
    """Median milliseconds of creating an object, all but storing it."""
    samples = []
    for _ in range(WRITES):
        begin = time.perf_counter()
        mesh.api.request("POST", mesh.api.path_of(item, collection=True), item, query={"dryRun": "All"})
        samples.append((time.perf_counter() - begin) * 1000)
    return statistics.median(samples)
