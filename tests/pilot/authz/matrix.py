"""Policy sets in a real Envoy, and calls to each of them, beside what Istio's rules say."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.pilot.authz import oracle, rig
from tests.pilot.authz.calls import Call
from tests.pilot.authz.compiled import Compiled
from tests.pilot.authz.gate import gate
from tests.pilot.authz.generate import Case, Maker
from tests.ports import free_port

SEED = 20
SETS = 300
TCP_EVERY = 3  # each third set is about connections that are not HTTP


@dataclass(frozen=True)
class Played:
    """A call, what Istio's rules say of it, and what Envoy did."""

    case: Case
    call: Call
    verdict: oracle.Verdict
    answer: rig.Answer

    @property
    def agrees(self) -> bool:
        """Whether both are the same."""
        return self.answer.status == self.verdict.status

    def __str__(self) -> str:
        told = f"Envoy {self.answer.status} {self.answer.details}, Istio's rules {self.verdict}"
        return f"set {self.case.number}: {told}\n  {self.call}\n  {self.case.policies}"


def cases() -> list[Case]:
    """The policy sets; addresses and ports are this process's own."""
    ports = [free_port() for _ in range(4)]
    maker = Maker(SEED, {False: tuple(ports[:2]), True: tuple(ports[2:])}, f"127.{100 + os.getpid() % 100}")
    return [maker.case(number, tcp=number % TCP_EVERY == 0) for number in range(SETS)]


def served(every: Iterable[Case]) -> list[rig.Served]:
    """The listeners of all sets, from what the compiler makes of them now."""
    every = list(every)
    compiled = Compiled(policy for case in every for policy in case.policies)
    return [listener(case, compiled) for case in every]


def listener(case: Case, compiled: Compiled) -> rig.Served:
    at, tcp = case.workload, case.calls[0].tcp
    return rig.Served(at.namespace, at.address, at.ports, compiled.filters(at, tcp=tcp), tcp=tcp)


def play(every: Sequence[Case], listeners: Iterable[rig.Served], folder: Path) -> list[Played]:
    """Make all calls."""
    with gate() as clusters, rig.envoy(listeners, folder, clusters):
        callers = rig.Callers(folder)
        return [played(case, call, callers) for case in every for call in case.calls]


def played(case: Case, call: Call, callers: rig.Callers) -> Played:
    verdict = oracle.verdict(case.policies, case.workload, call)
    return Played(case, call, verdict, callers.call(call, case.workload.address, case.workload.ports))
