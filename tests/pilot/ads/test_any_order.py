"""Whatever the order of changes, answers, refusals and lost streams: the client ends with what it shall have,
and on the way no route in use leads to a cluster that cannot be used.

The client here is written from Envoy's observed conduct, apart from the machine: it keeps back the ACK of
clusters until all are warm, warms a changed cluster until endpoints come after it, asks for endpoints and
routes by the names in its clusters and listeners, and keeps what it has when it refuses something.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mesh.pilot.ads.messages import DeltaRequest, Request, Response, SotwRequest
from mesh.pilot.ads.protocol import Machine
from mesh.pilot.types import CDS, EDS, LDS, RDS, Resource
from tests.pilot.ads.conversation import cds, eds, lds, res
from tests.pilot.ads.world import World, world

SERVICES = ("a", "b", "c", "d")
ROUTES = ("r", "s")
BAD = "bad"


@dataclass
class Plan:
    """What the world looks like: services with versions, and routes that lead to services."""

    clusters: dict[str, int] = field(default_factory=dict)
    endpoints: dict[str, int] = field(default_factory=dict)
    routes: dict[str, tuple[str, int, bool]] = field(default_factory=dict)  # cluster, version, bad
    listeners: dict[str, tuple[str, int]] = field(default_factory=dict)  # route, version

    def resources(self) -> list[Resource]:
        out = [cds(name, str(version)) for name, version in self.clusters.items()]
        out += [eds(name, str(self.endpoints.get(name, 0))) for name in self.clusters]
        for name, (cluster, version, bad) in self.routes.items():
            out.append(res("RDS", name, f"{version}>{cluster}{BAD if bad else ''}"))
        out += [lds(name, f"{v}>{route}", route=route) for name, (route, v) in self.listeners.items()]
        return out


class Client:
    """An Envoy, as far as xDS goes."""

    def __init__(self, sotw: bool) -> None:
        self.sotw = sotw
        self.has: dict[str, dict[str, str]] = {CDS: {}, EDS: {}, LDS: {}, RDS: {}}
        self.warming: set[str] = set()
        self.begun = False
        self.inbox: list[Response] = []
        self.unanswered: list[tuple[Response, str | None]] = []
        self.asked: dict[str, set[str]] = {}
        self.nonces: dict[str, str] = {}

    def asks_for(self, type_url: str) -> set[str]:
        """Names that its clusters or listeners wait for."""
        if type_url == EDS:
            return set(self.has[CDS]) | self.warming
        return {version.rpartition(">")[2] for version in self.has[LDS].values()}

    def connect(self) -> list[Request]:
        """First requests of a new stream: what it subscribes, and what it holds."""
        self.inbox, self.unanswered, self.nonces, self.asked = [], [], {}, {}
        types = [CDS, EDS, LDS, RDS] if self.has[LDS] else [CDS]
        return [self.first(type_url) for type_url in types]

    def first(self, type_url: str) -> Request:
        names = self.asks_for(type_url) if type_url in (EDS, RDS) else set()
        self.asked[type_url] = names
        if self.sotw:
            return SotwRequest(type_url=type_url, names=tuple(names))
        held = self.has[type_url]
        versions = {n: v for n, v in held.items() if type_url in (CDS, LDS) or n in names}
        return DeltaRequest(type_url=type_url, subscribe=tuple(names), initial_versions=versions)

    def read(self) -> None:
        """Take the next message in."""
        response = self.inbox.pop(0)
        bad = [each for each in response.changed if BAD in each.version]
        if not bad:
            self._apply(response)
        self.unanswered.append((response, "bad" if bad else None))

    def _apply(self, response: Response) -> None:
        self.begun = True
        held = self.has[response.type_url]
        if self.sotw and response.type_url in (CDS, LDS):
            new = {each.name: each.version for each in response.full}
            gone = held.keys() - new.keys()
        else:
            new = {each.name: each.version for each in (response.full if self.sotw else response.changed)}
            gone = set(response.removed) if response.type_url in (CDS, LDS) else set()
        for name, version in new.items():
            if response.type_url == CDS and held.get(name) != version:
                self.warming.add(name)
            if response.type_url == EDS:
                self.warming.discard(name)
            if response.type_url in (CDS, LDS) or name in self.asked[response.type_url]:
                held[name] = version
        if response.type_url == EDS:
            self.warming -= set(response.removed)  # what is gone is no longer waited for
        for name in gone:
            held.pop(name, None)
            self.warming.discard(name)

    def requests(self) -> list[Request]:
        """What it has to say now: subscriptions that follow from what it has, answers that are due."""
        out: list[Request] = []
        for type_url in (EDS, RDS):
            wanted = self.asks_for(type_url)
            if wanted != self.asked.get(type_url, set()):
                out.append(self._ask(type_url, wanted))
        if self.begun and not self.warming and LDS not in self.asked:
            out.append(self.first(LDS))
        return out

    def _ask(self, type_url: str, wanted: set[str]) -> Request:
        if type_url not in self.asked:
            return self.first(type_url)
        before, self.asked[type_url] = self.asked[type_url], wanted
        for name in self.has[type_url].keys() - wanted:
            del self.has[type_url][name]
        if self.sotw:
            return SotwRequest(type_url=type_url, names=tuple(wanted), nonce=self.nonces.get(type_url, ""))
        return DeltaRequest(
            type_url=type_url, subscribe=tuple(wanted - before), unsubscribe=tuple(before - wanted)
        )

    def may_answer(self) -> list[int]:
        """Which messages it can answer now; that of clusters only when all are warm."""
        return [
            index
            for index, (response, error) in enumerate(self.unanswered)
            if response.type_url != CDS or error or not self.warming
        ]

    def answers(self, index: int) -> Request:
        response, error = self.unanswered.pop(index)
        kind = response.type_url
        self.nonces[kind] = response.nonce
        if self.sotw:
            names = tuple(self.asked.get(kind, ()))
            return SotwRequest(type_url=kind, nonce=response.nonce, error=error, names=names)
        return DeltaRequest(type_url=kind, nonce=response.nonce, error=error)

    def broken(self) -> list[str]:
        """Routes in use that lead to a cluster without which requests fail."""
        used = {version.rpartition(">")[2] for version in self.has[LDS].values()}
        leads = {name: v.rpartition(">")[2] for name, v in self.has[RDS].items() if name in used}
        return [f"{name} to {cluster}" for name, cluster in leads.items() if not self._usable(cluster)]

    def _usable(self, cluster: str) -> bool:
        return cluster in self.has[CDS] and cluster in self.has[EDS]


class AnyOrder(RuleBasedStateMachine):
    sotw = False

    def __init__(self) -> None:
        super().__init__()
        self.plan = Plan(clusters={"a": 1}, routes={"r": ("a", 1, False)}, listeners={"l": ("r", 1)})
        self.count = 1
        self.world: World = world(*self.plan.resources())
        self.client = Client(self.sotw)
        self.connect()

    def connect(self) -> None:
        self.machine = Machine(self.world, sotw=self.sotw)
        for request in self.client.connect():
            self.say(request)

    def say(self, request: Request) -> None:
        self.hear(self.machine.receive(request).responses)

    def hear(self, responses: tuple[Response, ...]) -> None:
        for response in responses:
            under_way = [each.type_url for each in self.client.inbox]
            under_way += [each.type_url for each, _ in self.client.unanswered]
            assert response.type_url not in under_way, "one response of a type at a time"
            self.client.inbox.append(response)

    @rule(
        change=st.sampled_from(["cluster", "endpoints", "route", "listener", "refused", "remove"]),
        service=st.sampled_from(SERVICES),
        route=st.sampled_from(ROUTES),
    )
    def the_world_changes(self, change: str, service: str, route: str) -> None:
        plan, self.count = self.plan, self.count + 1
        if change == "cluster":
            plan.clusters[service] = self.count
        elif change == "endpoints":
            plan.endpoints[service] = self.count
        elif change in ("route", "refused"):
            plan.clusters.setdefault(service, self.count)
            plan.routes[route] = (service, self.count, change == "refused")
        elif change == "listener":
            plan.routes.setdefault(route, (service, self.count, False))
            plan.clusters.setdefault(plan.routes[route][0], self.count)
            plan.listeners["l"] = (route, self.count)
        elif service not in {cluster for cluster, _, _ in plan.routes.values()}:
            plan.clusters.pop(service, None)
        self.push()

    def push(self) -> None:
        self.world = world(*self.plan.resources(), version=self.world.version + 1)
        self.hear(self.machine.update(self.world)[0])

    @precondition(lambda self: self.client.inbox)
    @rule()
    def the_client_reads(self) -> None:
        self.client.read()

    @rule()
    def the_client_asks(self) -> None:
        for request in self.client.requests():
            self.say(request)

    @precondition(lambda self: self.client.may_answer())
    @rule(data=st.data())
    def the_client_answers(self, data: st.DataObject) -> None:
        self.say(self.client.answers(data.draw(st.sampled_from(self.client.may_answer()))))

    @invariant()
    def no_route_in_use_is_broken(self) -> None:
        assert not self.client.broken()

    def teardown(self) -> None:
        self.settle()
        self.all_that_is_good_has_arrived()

    def settle(self) -> None:
        for _ in range(200):
            while self.client.inbox:
                self.client.read()
                self.no_route_in_use_is_broken()
            said = self.client.requests()
            said += [self.client.answers(index) for index in self.client.may_answer()[:1]]
            for request in said:
                self.say(request)
            if not said and not self.client.inbox:
                return
        raise AssertionError(f"never settles: {self.machine!r}")

    def all_that_is_good_has_arrived(self) -> None:
        assert not self.client.unanswered, "a message that it can never answer"
        assert not self.client.warming
        assert not self.machine.unsettled()
        refused = any(bad for _, _, bad in self.plan.routes.values())
        for kind in (CDS, EDS, LDS, RDS):
            wanted = {
                name: each.version
                for name, each in self.world.resources(kind, True, ()).items()
                if BAD not in each.version and (kind in (CDS, LDS) or name in self.client.asks_for(kind))
            }
            held = {name: version for name, version in self.client.has[kind].items() if name in wanted}
            assert held == wanted
            if kind in (CDS, LDS) and not refused:
                assert self.client.has[kind] == wanted


class DeltaInAnyOrder(AnyOrder):
    """Delta can also lose its stream at any time: the client says what it holds."""

    @rule()
    def the_stream_is_lost(self) -> None:
        self.connect()

    @rule()
    def pilot_restarts_and_the_world_changed_meanwhile(self) -> None:
        self.plan.clusters["a"] = self.count
        self.world = world(*self.plan.resources(), version=1)
        self.connect()


class SotwInAnyOrder(AnyOrder):
    sotw = True


TestDelta = pytest.mark.behaviour("X1")(DeltaInAnyOrder.TestCase)
TestSotw = pytest.mark.behaviour("X1")(SotwInAnyOrder.TestCase)
TestDelta.settings = TestSotw.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
