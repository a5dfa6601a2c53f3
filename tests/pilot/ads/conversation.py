"""A client that speaks with the protocol machine in a line of text each, so that tests read as the protocol.

A response is written `CDS a b -c`: the type, names sent, names said to be gone.
"""

from collections.abc import Iterable

from mesh.pilot.ads.messages import DeltaRequest, Outcome, Request, Response, SotwRequest
from mesh.pilot.ads.protocol import Machine
from mesh.pilot.metrics import short
from mesh.pilot.types import CDS, LDS, Resource
from tests.pilot.ads.world import TYPES, World


def res(kind: str, name: str, version: str = "1", *waits_for: tuple[str, str]) -> Resource:
    """A resource without content; `waits_for` as ("EDS", name)."""
    waits = frozenset((TYPES[each], other) for each, other in waits_for)
    return Resource(
        name=name, type_url=TYPES[kind], version=version, payload=b"", origins=(), waits_for=waits
    )


def cds(name: str, version: str = "1") -> Resource:
    return res("CDS", name, version, ("EDS", name))


def eds(name: str, version: str = "1") -> Resource:
    return res("EDS", name, version)


def lds(name: str, version: str = "1", route: str = "") -> Resource:
    return res("LDS", name, version, *([("RDS", route)] if route else []))


def rds(name: str, version: str = "1") -> Resource:
    return res("RDS", name, version)


def sds(name: str, version: str = "1") -> Resource:
    return res("SDS", name, version)


def line(response: Response) -> str:
    names = [resource.name for resource in response.changed]
    return " ".join([short(response.type_url), *names, *(f"-{name}" for name in response.removed)])


class Conversation:
    """One stream, from the client's side. Each method gives back what the server then says."""

    def __init__(self, world: World, *, sotw: bool = False) -> None:
        self.machine = Machine(world, sotw=sotw)
        self.world = world
        self.sotw = sotw
        self.open: dict[str, Response] = {}
        self.names: dict[str, list[str]] = {}
        self.last: dict[str, Response] = {}
        self.answer: object = None

    def asks(
        self,
        kind: str,
        *names: str,
        has: dict[str, str] | None = None,
        nonce: str = "",
    ) -> list[str]:
        """The first request for a type, or names added to it. `has` is what it holds from before."""
        known = self.names.setdefault(kind, [])
        known.extend(name for name in names if name not in known)
        if self.sotw:
            nonce = nonce or (self.last[kind].nonce if kind in self.last else "")
            return self._said(SotwRequest(type_url=TYPES[kind], names=tuple(known), nonce=nonce))
        request = DeltaRequest(type_url=TYPES[kind], subscribe=names, initial_versions=has or {}, nonce=nonce)
        return self._said(request)

    def drops(self, kind: str, *names: str) -> list[str]:
        """Names taken out of the subscription."""
        self.names[kind] = [name for name in self.names[kind] if name not in names]
        if self.sotw:
            nonce = self.last[kind].nonce
            return self._said(SotwRequest(type_url=TYPES[kind], names=tuple(self.names[kind]), nonce=nonce))
        return self._said(DeltaRequest(type_url=TYPES[kind], unsubscribe=names))

    def acks(self, kind: str) -> list[str]:
        return self._answers(kind, None)

    def refuses(self, kind: str, reason: str = "no") -> list[str]:
        return self._answers(kind, reason)

    def acks_all(self) -> list[str]:
        """ACKs everything until the server has nothing more to say; all that it said."""
        said = []
        while self.open:
            said += self.acks(short(next(iter(self.open))))
        return said

    def _answers(self, kind: str, error: str | None) -> list[str]:
        nonce = self.open.pop(TYPES[kind]).nonce
        request: Request
        if self.sotw:
            names = tuple(self.names.get(kind, ()))
            request = SotwRequest(type_url=TYPES[kind], nonce=nonce, error=error, names=names)
        else:
            request = DeltaRequest(type_url=TYPES[kind], nonce=nonce, error=error)
        return self._said(request)

    def world_becomes(self, *resources: Resource, without: Iterable[tuple[str, str]] = ()) -> list[str]:
        """A new snapshot: these resources new or changed, those (type and name) gone."""
        gone = [(TYPES[kind], name) for kind, name in without]
        self.world = self.world.with_resources(*resources, without=gone)
        responses, _ = self.machine.update(self.world)
        return self._heard(responses)

    def waits_too_long(self) -> list[str]:
        return self._heard(self.machine.release())

    def _said(self, request: Request) -> list[str]:
        outcome: Outcome = self.machine.receive(request)
        self.answer = outcome.answer
        return self._heard(outcome.responses)

    def _heard(self, responses: Iterable[Response]) -> list[str]:
        out = []
        for response in responses:
            assert response.type_url not in self.open, "one response of a type at a time"
            self.open[response.type_url] = response
            self.last[short(response.type_url)] = response
            out.append(line(response))
        return out

    def full(self, kind: str) -> list[str]:
        """What the last state-of-the-world message of a type carried: `name@version`."""
        return [f"{each.name}@{each.version}" for each in self.last[kind].full]


def connected(world: World, *, sotw: bool = False) -> Conversation:
    """An Envoy that has asked for everything of its world and accepted it."""
    client = Conversation(world, sotw=sotw)
    client.asks("CDS")
    client.asks("EDS", *sorted(name for _, name in waits(world, CDS)))
    client.acks_all()
    client.asks("LDS")
    client.asks("RDS", *sorted(name for _, name in waits(world, LDS)))
    client.acks_all()
    assert not client.machine.unsettled()
    return client


def waits(world: World, type_url: str) -> set[tuple[str, str]]:
    return {wait for each in world.resources(type_url, True, ()).values() for wait in each.waits_for}
