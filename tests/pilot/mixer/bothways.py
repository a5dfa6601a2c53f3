"""Each rule served twice by one real Envoy: as Pilot compiles it, and by asking a real istio-policy.

A workload is an address on loopback, each of its ports a service and a place for rules of its own; both ways
stand beside each other, on ports of their own behind the same Place.
"""

import asyncio
import atexit
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from envoy.config.route.v3 import route_components_pb2
from google.protobuf.message import Message

from mesh.api.load import placed
from mesh.model import Labels, ObjectKey
from mesh.pilot.compile import mixer
from mesh.pilot.compile.mixer import external
from mesh.pilot.compile.mixer.decide import Step
from mesh.pilot.compile.mixer.filters import decided, how_checked
from mesh.pilot.memo import Memo
from mesh.pilot.mixer.facts import facts
from mesh.pilot.reader import Reader
from tests.mixer.policy import rig as policy
from tests.pilot.authz.calls import Call
from tests.pilot.authz.gate import cluster
from tests.pilot.authz.rig import Answer, Callers, Served, asked, envoy, plain
from tests.pilot.compile.world import World, sidecar

ADDRESSES = count()
CLAIMS: list[socket.socket] = []
"""Hold the addresses until the process ends."""

PATIENT = {"ANNOTATIONS": {"policy.istio.io/checkTimeout": "30s"}}
"""How long proxies wait here: what is compared is what is answered, not how fast on a busy machine."""

DEADLINE = 30.0
"""Seconds for all handlers of a check, for the same reason."""

CALLER = "127.2.0.1"
CLUSTER = "outbound|15004||istio-policy.istio-system.svc.cluster.local"
FIRST = 20000
CLAIM = FIRST - 1
"""A port that nobody listens on; who has it has the address."""


def claimed() -> str:
    """An address that nobody else has. Envoys share ports (SO_REUSEPORT): two of them that had the same
    address, in this process or in another, would get each other's calls.
    """
    while True:
        number = next(ADDRESSES) + os.getpid() * 7
        address = f"127.{30 + number // 65536 % 64}.{number // 256 % 256}.{number % 254 + 1}"
        claim = socket.socket()
        try:
            claim.bind((address, CLAIM))
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        return address


@atexit.register
def release() -> None:
    """Give all addresses back."""
    while CLAIMS:
        CLAIMS.pop().close()


def services(address: str, ports: int) -> list[dict[str, Any]]:
    """The forecast at an address with some ports, and a frontend that calls it."""
    every = [{"number": FIRST + index, "name": f"http-{index}"} for index in range(ports)]
    return [
        {
            "name": "forecast",
            "namespace": "weather",
            "addresses": ["10.1.0.2"],
            "ports": every,
            "instances": [
                {
                    "address": address,
                    "name": "forecast-v1-abc",
                    "labels": {"app": "forecast", "version": "v1"},
                    "service_account": "forecast",
                }
            ],
        },
        {
            "name": "frontend",
            "namespace": "weather",
            "addresses": ["10.1.0.1"],
            "ports": [{"number": 3000, "name": "http"}],
            "instances": [
                {
                    "address": CALLER,
                    "name": "frontend-v1-abc",
                    "labels": {"app": "frontend", "version": "v1"},
                    "service_account": "frontend",
                }
            ],
        },
    ]


class Rules:
    """Pilot's view of some rules."""

    def __init__(self, objects: Iterable[dict[str, Any]], ports: int) -> None:
        self.objects = list(objects)
        self.address = claimed()
        self.services = services(self.address, ports)
        self.world = World(yaml.safe_dump(self.services))
        for each in self.objects:
            self.world.store.put(placed(each, "weather"))
            key = ObjectKey(each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
            assert self.world.store.rejected(key) is None, self.world.store.rejected(key)
        self._memo = Memo(Reader)

    def place(self, port: int) -> mixer.Place:
        """One of the forecast's ports."""
        found: Labels = self._memo.value(
            self.world.snapshot, facts, sidecar("forecast-v1-abc", address=self.address, metadata=PATIENT)
        )
        return mixer.Place("weather", found, FIRST + port, "forecast.weather.svc.cluster.local")

    def steps(self, port: int = 0) -> tuple[Step, ...]:
        """What becomes of the rules there."""
        found: tuple[Step, ...] = self._memo.value(self.world.snapshot, decided, self.place(port))
        return found

    def compiled(self, port: int) -> mixer.Checked:
        """As Pilot compiles it."""
        found: mixer.Checked = self._memo.value(self.world.snapshot, mixer.http_filters, self.place(port))
        return found

    def called(self, port: int) -> mixer.Checked:
        """Asking istio-policy about every call."""
        found: mixer.Checked = self._memo.value(self.world.snapshot, asking, self.place(port))
        return found


def asking(read: Reader, place: mixer.Place) -> mixer.Checked:
    """What Pilot would do if nothing could be compiled."""
    extensions = place.extensions()
    return mixer.Checked((external.http(how_checked(read, place), extensions),), (), extensions)


def served(name: str, address: str, port: int, checked: mixer.Checked) -> Served:
    """A listener at an address with these filters."""
    host = route_components_pb2.VirtualHost()
    checked.tell(host)
    told = plain(host).get("typed_per_filter_config", {})
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
        "typed_per_filter_config": told,
    }
    filters: tuple[Message, ...] = checked.filters
    return Served(name, address, (port,), filters, route=route, replies=checked.replies)


@dataclass
class Rig:
    """Both ways of each port."""

    folder: Path
    address: str
    callers: Callers
    policy: Any
    loop: asyncio.AbstractEventLoop
    compiled_port: int = FIRST
    called_port: int = FIRST + 10000

    def compiled(self, call: Call, port: int = 0) -> Answer:
        """What Envoy answers by itself, as far as Pilot could make it."""
        return self.callers.call(call, self.address, (self.compiled_port + port,))

    def called(self, call: Call, port: int = 0) -> Answer:
        """What istio-policy answers."""
        return self.callers.call(call, self.address, (self.called_port + port,))

    def counted(self) -> str:
        """What proxy and istio-policy have counted, to tell why a question had no answer."""
        page = asyncio.run_coroutine_threadsafe(self.policy.page("/metrics"), self.loop).result(10)
        mine = [
            each for each in page.splitlines() if each.startswith("mixer_policy") and "_bucket" not in each
        ]
        every = [*mine, *asked(self.folder, "/stats?filter=istio-policy").splitlines()]
        return "\n".join(each for each in every if not each.endswith((" 0", " 0.0")))

    def answered(self) -> float:
        """How many questions istio-policy has had."""
        page = asyncio.run_coroutine_threadsafe(self.policy.page("/metrics"), self.loop).result(10)
        lines = (each for each in page.splitlines() if each.startswith("mixer_policy_seconds_count"))
        return sum(float(each.rpartition(" ")[2]) for each in lines)


@contextmanager
def both_ways(rules: Rules, ports: int, folder: Path) -> Iterator[Rig]:
    """Run Envoy and istio-policy with the same rules and services."""
    with istio_policy(rules, folder) as (running, loop):
        listeners = [
            served(f"{name}-{index}", rules.address, start + index, make(index))
            for index in range(ports)
            for name, start, make in (
                ("compiled", FIRST, rules.compiled),
                ("called", FIRST + 10000, rules.called),
            )
        ]
        clusters = [cluster(CLUSTER, running.policy.grpc, http2=True)]
        with envoy(listeners, folder, clusters):
            yield Rig(folder, rules.address, Callers(folder), running, loop)


@contextmanager
def istio_policy(rules: Rules, folder: Path) -> Iterator[tuple[Any, asyncio.AbstractEventLoop]]:
    """Run istio-policy in a thread, since the calls here block."""
    started: Any = threading.Event()
    state: dict[str, Any] = {}

    async def run() -> None:
        state["loop"], state["end"] = asyncio.get_running_loop(), asyncio.Event()
        async with policy.running(
            folder, *rules.objects, services=rules.services, deadline=DEADLINE
        ) as running:
            state["rig"] = running
            started.set()
            await state["end"].wait()

    def whole() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            state["error"] = error
            started.set()

    thread = threading.Thread(target=whole)
    thread.start()
    assert started.wait(30)
    try:
        if "error" in state:
            raise state["error"]
        yield state["rig"], state["loop"]
    finally:
        if "loop" in state and "error" not in state:
            state["loop"].call_soon_threadsafe(state["end"].set)
        thread.join(30)
