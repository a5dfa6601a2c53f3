"""A rollout carried out: each step in force before it is judged, and a way back from everywhere.

Whatever ends it before the last step has passed (a verdict, an error, Ctrl-C, SIGTERM, the deadline) leads to
`Rollback`. What even that cannot do (the process is killed) the journal on the rule lets the next one do.
"""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

import requests

from loadtests.canary import metrics, preflight, route
from loadtests.canary.errors import CanaryError, TakenAway
from loadtests.canary.generator import Generators, Job
from loadtests.canary.hold import Hold
from loadtests.canary.journal import Journal, Rule, journal_of
from loadtests.canary.rollback import Rollback, settled
from loadtests.canary.rollout import Rollout, Step
from loadtests.canary.signals import deferred, terminable
from loadtests.canary.verdicts import About, Limit, Point, Result, StepResult, Verdict
from loadtests.canary.watch import Watch
from pytest_mesh.errors import HarnessError
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh


class Observer(Protocol):
    """Who wants to see it while it runs."""

    def event(self, text: str) -> None:
        """Something has begun or ended."""

    def point(self, point: Point) -> None:
        """A window of the load."""

    def step(self, step: StepResult) -> None:
        """A step was judged."""


class Unseen:
    """Nobody watches."""

    def event(self, text: str) -> None:
        """Nothing."""

    def point(self, point: Point) -> None:
        """Nothing."""

    def step(self, step: StepResult) -> None:
        """Nothing."""


class Engine:
    """One rollout on one mesh. `confirm` is asked at a pause without a length; `clock` is Unix time."""

    def __init__(
        self,
        rollout: Rollout,
        mesh: Mesh,
        *,
        observer: Observer | None = None,
        url: str = "",
        confirm: Callable[[str], bool] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rollout, self._mesh, self._clock = rollout, mesh, clock
        self._observer = observer or Unseen()
        self._rule = Rule(mesh.api, rollout.namespace, rollout.spec.virtual_service)
        self._url = url
        self._confirm = confirm
        self._inconclusive = 0
        self._result = Result(rollout.name, rollout.namespace, rollout.spec.virtual_service, clock())
        self._result.about = about(rollout, url)

    def run(self) -> Result:
        """Carry it out. `HarnessError` only if it could not begin: then nothing was changed."""
        original = self._begin()
        url = self._url or url_of(self._rollout, self._mesh)
        journal = Journal.new(self._rollout, original, self._clock() + self._rollout.spec.deadline)
        with deferred(self._event):
            try:
                with terminable():
                    self._steps(original, journal, url)
            except KeyboardInterrupt:
                self._result.interrupted = True
                self._end(Verdict.ERROR, "interrupted")
            except (HarnessError, requests.RequestException, OSError) as error:
                self._end(Verdict.ERROR, str(error))
                self._result.restored = isinstance(error, TakenAway)  # by whoever took it
            except Exception as error:  # a fault of ours must not leave the canary in the rule
                self._end(Verdict.ERROR, f"{type(error).__name__}: {error}")
            if not self._result.promoted and not self._result.restored:
                self._roll_back(journal, url)
        self._result.end = self._clock()
        return self._result

    def _begin(self) -> Obj:
        """The rule as it is; what a crashed rollout has left on it is put right first."""
        found = self._rule.find()
        left = journal_of(found)
        if left is not None:
            if left.alive(self._clock()):
                raise CanaryError(
                    f"a rollout runs already on VirtualService {self._rule.namespace}/{self._rule.name} "
                    f"(process {left.pid} on {left.host})",
                    remedy="wait for it, or end it with 'meshctl canary abort'",
                )
            self._event("an earlier rollout was not ended: putting its rule back")
            abort(self._mesh, self._rule.namespace, self._rule.name, self._event, self._url)
            found = self._rule.find()
        preflight.check(self._mesh.api, self._rollout, found["spec"])
        return found

    def _steps(self, original: Obj, journal: Journal, url: str) -> None:
        weight = 0
        for step in self._rollout.spec.steps:
            spec = route.in_step(original["spec"], self._rollout, step, weight)
            weight = step.weight if step.weight is not None else weight
            result = StepResult(step.title, weight, self._clock(), judged=step.pause is None)
            self._result.steps.append(result)
            self._event(f"step {len(self._result.steps)} of {len(self._rollout.spec.steps)}: {step.title}")
            try:
                self._one(step, result, spec, journal, url)
            except BaseException as error:
                result.verdict, result.end = Verdict.ERROR, self._clock()
                result.words = str(error) or "interrupted"
                raise
            result.end = self._clock()
            self._observer.step(result)
            if result.verdict is not Verdict.PASS:
                self._end(result.verdict, f"step {len(self._result.steps)} ({step.title}): {result.words}")
                return
        self._promote(original["spec"], journal)

    def _one(self, step: Step, result: StepResult, spec: Obj, journal: Journal, url: str) -> None:
        written = self._rule.write(spec, journal)
        settled(self._mesh, written, self._rollout.spec.in_force_timeout)
        self._result.weights.append((self._clock(), result.weight))
        self._event(f"in force at all proxies: {step.title}")
        with Watch(self._mesh, self._rule, journal, written["spec"], self._clock) as watch:
            if step.pause is not None:
                self._pause(step.pause, result, watch)
                return
            left = self._rollout.spec.judgement.inconclusive - self._inconclusive
            hold = Hold(self._rollout, step, result, self._note, self._scrape(), self._clock)
            self._inconclusive += hold.run(lambda seconds: self._generators(step, seconds, url), watch, left)

    def _scrape(self) -> Callable[[], metrics.Samples]:
        wanted = [gate.metric for gate in self._rollout.spec.gates if gate.metric]
        return (lambda: metrics.scrape(self._mesh.api)) if metrics.wants_scrape(wanted) else dict

    def _generators(self, step: Step, seconds: float, url: str) -> Generators:
        load = self._rollout.spec.load
        if step.header is None:
            return Generators([Job(url, load.schedule, seconds, load)])
        half = halved(load.schedule)
        mine = {step.header.name: step.header.exact}
        return Generators([Job(url, half, seconds, load), Job(url, half, seconds, load, mine)])

    def _pause(self, seconds: float, result: StepResult, watch: Watch) -> None:
        result.verdict, result.words = Verdict.PASS, "not judged"
        if not seconds and self._confirm is not None:
            if not self._confirm(f"{self._rollout.name}: go on?"):
                result.verdict, result.words = Verdict.FAIL, "ended by its operator"
            watch.check()
            return
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            time.sleep(min(0.2, left))
            watch.check()

    def _promote(self, spec: Obj, journal: Journal) -> None:
        self._event("all steps have passed: promoting")
        final = route.promoted(spec, self._rollout)
        written = self._rule.finish(final, journal)
        settled(self._mesh, written, self._rollout.spec.in_force_timeout)
        self._result.weights.append((self._clock(), 100))
        self._result.promoted = True
        self._end(Verdict.PASS, "every step passed; the canary serves alone")

    def _roll_back(self, journal: Journal, url: str) -> None:
        way_back = Rollback(self._rollout, self._mesh, self._rule, journal, url, self._event)
        self._result.rolled_back_from = self._clock()
        try:
            way_back.run(at_zero=lambda: self._result.weights.append((self._clock(), 0)))
            self._result.restored = True
        except (HarnessError, requests.RequestException, OSError) as error:
            self._end(self._result.verdict, f"{self._result.words}; NOT ROLLED BACK: {error}")

    def _note(self, point: Point) -> None:
        self._result.points.append(point)
        self._observer.point(point)

    def _event(self, text: str) -> None:
        self._result.events.append((self._clock(), text))
        self._observer.event(text)

    def _end(self, verdict: Verdict, words: str) -> None:
        self._result.verdict, self._result.words = verdict, words
        self._event(f"{verdict.value}: {words}")


def abort(mesh: Mesh, namespace: str, name: str, event: Callable[[str], None], url: str = "") -> bool:
    """Roll back what a journal on a rule tells of; whether there was one. `HarnessError` if it fails."""
    rule = Rule(mesh.api, namespace, name)
    journal = journal_of(rule.find())
    if journal is None:
        return False
    rollout = journal.parsed_rollout()
    taken = journal.taken_over()  # a rollout that still runs sees by this that it is over
    Rollback(rollout, mesh, rule, taken, url or url_of(rollout, mesh), event).run()
    return True


def url_of(rollout: Rollout, mesh: Mesh) -> str:
    """Where the load goes."""
    load = rollout.spec.load
    if load.url:
        return load.url
    entrance = load.entrance
    return mesh.cluster.url_of(entrance.namespace, entrance.name, entrance.port) + load.path


def about(rollout: Rollout, url: str) -> About:
    """What a report says of a rollout before what came of it."""
    load = rollout.spec.load
    target = url or load.url or f"{load.path} at {load.entrance.namespace}/{load.entrance.name}"
    hosts = [f" (host {value})" for name, value in load.headers.items() if name.lower() == "host"]
    return About(
        rollout.spec.baseline.subset,
        rollout.spec.canary.subset,
        f"{load.schedule} requests a second to {target}{''.join(hosts)}",
        rollout.spec.judgement.confidence,
        tuple(step.title for step in rollout.spec.steps),
        tuple(_limits(rollout)),
    )


def _limits(rollout: Rollout) -> Iterator[Limit]:
    for gate in rollout.spec.gates:
        if gate.latency and gate.latency.at_most and gate.latency.percentile in (50, 99):
            yield Limit("p50" if gate.latency.percentile == 50 else "p99", gate.latency.at_most)
        if gate.success_rate and gate.success_rate.at_least is not None:
            yield Limit("errors", 1 - gate.success_rate.at_least)


def halved(schedule: str) -> str:
    """The same schedule at half the rates."""
    kind, _, rates = schedule.partition(":")
    return f"{kind}:" + ",".join(f"{float(rate) / 2:g}" for rate in rates.split(","))
