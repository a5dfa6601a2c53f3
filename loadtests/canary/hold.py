"""One step held: load while it is in force, judged at intervals and at its end, prolonged while in doubt."""

from collections.abc import Callable, Mapping

from loadtests.canary.errors import CanaryError
from loadtests.canary.gates import Measured, judge, judge_generator
from loadtests.canary.generator import Generators, Job
from loadtests.canary.metrics import Samples
from loadtests.canary.rollout import Rollout, Step
from loadtests.canary.verdicts import Look, Point, Side, StepResult, Verdict
from loadtests.canary.watch import Watch
from loadtests.openloop.latency import Latency
from loadtests.openloop.lines import AnyLine, Ended, Labelled, Window, together

SILENCE = 30.0  # seconds without a line of the generator


class Hold:
    """A step's load and judgement; `note` takes each window, `scrape` gives the mesh's metrics."""

    def __init__(
        self,
        rollout: Rollout,
        step: Step,
        result: StepResult,
        note: Callable[[Point], None],
        scrape: Callable[[], Samples],
        clock: Callable[[], float],
    ) -> None:
        self._rollout, self._step, self._result = rollout, step, result
        self._note, self._scrape, self._clock = note, scrape, clock
        self._whole, self._part = Measured(), Measured()
        self._failures = 0

    def run(self, generators: Callable[[float], Generators], watch: Watch, prolong: int) -> int:
        """Hold until there is a verdict; how often it was prolonged, `prolong` times at most."""
        warm_up, used = self._rollout.warm_up_of(self._step), 0
        while True:
            length = warm_up + self._rollout.hold_of(self._step)
            with generators(length) as running:
                self._follow(running, watch, warm_up)
            if self._failures >= self._rollout.spec.judgement.failures_in_a_row:
                break
            self._look(self._whole, whole=True)
            if self._result.looks[-1].verdict is not Verdict.INCONCLUSIVE or used >= prolong:
                break
            used += 1
            if judge_generator(self._rollout, self._whole).verdict is not Verdict.PASS:
                self._whole = Measured()  # what an overloaded generator saw tells nothing
            self._part = Measured(before=self._part.after)
        self._conclude()
        return used

    def _follow(self, running: Generators, watch: Watch, warm_up: float) -> None:
        open_jobs, begun, heard = len(running.jobs), 0.0, self._clock()
        while open_jobs:
            watch.check()
            got = running.next(0.5)
            if got is None:
                if self._clock() - heard > SILENCE:
                    raise CanaryError(f"the generator has said nothing for {SILENCE:g} s")
                continue
            heard = self._clock()
            job, line = got
            if isinstance(line, Ended):
                open_jobs -= 1
                _refuse_error(line)
            elif isinstance(line, Window):
                begun = begun or line.start
                self._window(job, line, judged=line.start >= begun + warm_up - job.window / 2)
                if self._failures >= self._rollout.spec.judgement.failures_in_a_row:
                    return

    def _window(self, job: Job, line: Window, *, judged: bool) -> None:
        sides = by_side(job, line.labels)
        self._note(point_of(self._step, self._result, line, sides))
        if not judged:
            return
        if not self._whole.before:
            self._whole.before = self._scrape()
            self._part.before = self._part.before or self._whole.before
        self._result.judged_from = self._result.judged_from or line.start
        for measured in (self._whole, self._part):
            measured.add(line.account, sides, line.end - line.start)
        interval = self._rollout.spec.judgement.interval
        hold = self._rollout.hold_of(self._step)
        if interval and interval < hold and self._part.seconds >= interval - job.window / 2:
            look = self._look(self._part, whole=False)
            self._failures = self._failures + 1 if look.verdict is Verdict.FAIL else 0
            self._part = Measured(before=self._part.after)

    def _look(self, measured: Measured, *, whole: bool) -> Look:
        measured.after = self._scrape()
        now = self._clock()
        look = Look(now - measured.seconds, now, judge(self._rollout, self._step, measured), whole)
        self._result.looks.append(look)
        return look

    def _conclude(self) -> None:
        last = self._result.looks[-1]
        self._result.verdict = last.verdict
        telling = [each for each in last.findings if each.verdict is last.verdict]
        self._result.words = "; ".join(f"{each.gate}: {each.words}" for each in telling)


def by_side(job: Job, labels: Mapping[str, Labelled]) -> dict[str, Labelled]:
    """What the labels mean."""
    found: dict[str, Labelled] = {}
    for label, each in labels.items():
        found = together(found, {job.side_of(label): each})
    return found


def point_of(step: Step, result: StepResult, line: Window, sides: Mapping[str, Labelled]) -> Point:
    """A window as the report shows it."""
    account = line.account
    return Point(
        line.start,
        line.end,
        result.weight,
        step.title,
        {side: _side(each) for side, each in sides.items()},
        account.scheduled,
        account.sent,
        account.late,
        account.dropped,
    )


def _side(each: Labelled) -> Side:
    times = Latency(each.response)
    return Side(each.count, each.failed, times.percentile(50), times.percentile(99))


def _refuse_error(line: AnyLine) -> None:
    if isinstance(line, Ended) and line.reason == "error":
        raise CanaryError(f"the generator failed: {line.message}")
