"""What Galley's validating webhook takes for an answer over HTTPS, the connection kept, and judging alone.

`python -m benchmarks.webhook [ROUNDS]`. Client and webhook share the process, so a round trip counts both.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from mesh.galley.review import judge
from mesh.galley.webhook import Webhook, listening
from mesh.pki.serving import client_context
from tests.galley.rig import Ca

ROUNDS = 500
AT_ONCE = 16
ROUTES = [
    {
        "match": [{"uri": {"prefix": f"/{number}/"}, "headers": {"x-user": {"regex": f"a{number}.*"}}}],
        "route": [{"destination": {"host": "forecast", "subset": f"v{number % 2}"}}],
    }
    for number in range(50)
]
OBJECTS: Mapping[str, tuple[str, str, Any]] = {
    "DestinationRule, one line": ("networking.istio.io", "DestinationRule", {"host": "forecast"}),
    "VirtualService, 50 routes": ("networking.istio.io", "VirtualService", {"hosts": ["a"], "http": ROUTES}),
    "AuthorizationPolicy, 50 rules": (
        "security.istio.io", "AuthorizationPolicy",
        {"rules": [
            {"from": [{"source": {"principals": [f"cluster.local/ns/a/sa/{number}"]}}],
             "to": [{"operation": {"paths": [f"/{number}/*"], "methods": ["GET"]}}]}
            for number in range(50)
        ]},
    ),
    "VirtualService, 50 faults": (
        "networking.istio.io", "VirtualService",
        {"hosts": ["a"], "http": [{**each, "timeout": 5, "weigth": 1} for each in ROUTES]},
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WebhookFigures:
    """Milliseconds of an answer, one after the other; what judging alone takes; answers a second at once."""

    what: str
    median: float
    p99: float
    judging: float
    per_second: float


def question(group: str, kind: str, spec: Any) -> dict[str, Any]:
    """An AdmissionReview as the API server sends it."""
    metadata = {"name": "a", "namespace": "b", "uid": "u", "generation": 1}
    request = {
        "uid": "u",
        "kind": {"group": group, "version": "v1", "kind": kind},
        "operation": "CREATE",
        "object": {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "spec": spec},
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def milliseconds(work: Callable[[], Any]) -> float:
    """What something takes."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


async def measure(rounds: int = ROUNDS) -> list[WebhookFigures]:
    """All objects, after a warm-up."""
    ca = Ca()
    async with (
        listening(Webhook(), await ca.holder("istio-galley"), host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession() as session,
    ):
        context = client_context(ca.root)

        async def ask(body: bytes) -> float:
            begun = time.perf_counter()
            async with session.post(f"https://localhost:{port}/validate", data=body, ssl=context) as answer:
                await answer.read()
            return (time.perf_counter() - begun) * 1000

        return [await of(name, question(*OBJECTS[name]), ask, rounds) for name in OBJECTS]


async def of(name: str, asked: dict[str, Any], ask: Any, rounds: int) -> WebhookFigures:
    """One object."""
    body = json.dumps(asked).encode()
    for _ in range(20):
        await ask(body)
    times = sorted([await ask(body) for _ in range(rounds)])
    judging = statistics.median(milliseconds(lambda: judge(asked)) for _ in range(rounds // 5))
    begun = time.perf_counter()
    for _ in range(rounds // AT_ONCE):
        await asyncio.gather(*(ask(body) for _ in range(AT_ONCE)))
    rate = rounds // AT_ONCE * AT_ONCE / (time.perf_counter() - begun)
    return WebhookFigures(name, statistics.median(times), times[int(rounds * 0.99)], judging, rate)


def main() -> None:
    """Print the figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{'object':32}{'median ms':>11}{'p99 ms':>9}{'judging ms':>12}{'per second':>12}")
    for each in asyncio.run(measure(rounds)):
        print(f"{each.what:32}{each.median:11.2f}{each.p99:9.2f}{each.judging:12.2f}{each.per_second:12.0f}")


if __name__ == "__main__":
    main()
