"""One step held: load while it is in force, judged at intervals and at its end, prolonged while in doubt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from loadtests.canary.errors import CanaryError
from loadtests.canary.gates import Measured, judge, judge_generator
from loadtests.canary.generator import WINDOW, Generators, Job
from loadtests.canary.metrics import Samples
from loadtests.canary.rollout import Rollout, Step
from loadtests.canary.verdicts import Look, Point, Side, StepResult, Verdict
from loadtests.canary.watch import Watch
from loadtests.openloop.account import Account
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
            self._part = Measured()
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
        self._conclude()
        return used

    def _follow(self, running: Generators, watch: Watch, warm_up: float) -> None:
        stretches, heard = Stretches(running.jobs), self._clock()
        begun = 0.0
        if not warm_up:
            self._scraped_before()
        while stretches.open_jobs:
            watch.check()
            got = running.next(0.5)
            if got is None:
                if self._clock() - heard > SILENCE:
                    raise CanaryError(f"the generator has said nothing for {SILENCE:g} s")
                continue
            heard = self._clock()
            _refuse_error(got[1])
            for each in stretches.add(*got):
                begun = begun or each.start
                self._stretch(each, each.start - begun - warm_up)
                if self._failures >= self._rollout.spec.judgement.failures_in_a_row:
                    return

    def _stretch(self, each: "Stretch", since_warm_up: float) -> None:
        """Note and judge one; `since_warm_up`: seconds from the warm-up's end to its start."""
        self._note(point_of(self._step, self._result, each))
        if since_warm_up < -WINDOW / 2:
            if since_warm_up + (each.end - each.start) >= -WINDOW / 2:
                self._scraped_before()
            return
        self._result.judged_from = self._result.judged_from or each.start
        for measured in (self._whole, self._part):
            measured.add(each.account, each.sides, each.end - each.start)
        interval = self._rollout.spec.judgement.interval
        hold = self._rollout.hold_of(self._step)
        if interval and interval < hold and self._part.seconds >= interval - WINDOW / 2:
            look = self._look(self._part, whole=False)
            self._failures = self._failures + 1 if look.verdict is Verdict.FAIL else 0
            self._part = Measured(before=self._part.after, before_at=self._part.after_at)

    def _scraped_before(self) -> None:
        """The mesh's metrics at the warm-up's end; those of the first one stay for the whole step."""
        self._part.before, self._part.before_at = self._scrape(), self._clock()
        if not self._whole.before_at:
            self._whole.before, self._whole.before_at = self._part.before, self._part.before_at

    def _look(self, measured: Measured, *, whole: bool) -> Look:
        measured.after = self._scrape()
        now = measured.after_at = self._clock()
        look = Look(now - measured.seconds, now, judge(self._rollout, self._step, measured), whole)
        self._result.looks.append(look)
        return look

    def _conclude(self) -> None:
        last = self._result.looks[-1]
        self._result.verdict = last.verdict
        telling = [each for each in last.findings if each.verdict is last.verdict]
        self._result.words = "; ".join(f"{each.gate}: {each.words}" for each in telling)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The same window of all generators of a step, in one; times are Unix time in seconds."""

    start: float
    end: float
    account: Account
    sides: dict[str, Labelled]


class Stretches:
    """Puts the windows of generators that run side by side together, as they come."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._windows: dict[Job, list[Window]] = {job: [] for job in jobs}
        self._open = set(jobs)

    @property
    def open_jobs(self) -> int:
        """How many generators have not ended."""
        return len(self._open)

    def add(self, job: Job, line: AnyLine) -> Iterator[Stretch]:
        """The stretches that are complete with this line: those of which nobody owes a window."""
        if isinstance(line, Window):
            self._windows[job].append(line)
        elif isinstance(line, Ended):
            self._open.discard(job)
        while any(self._windows.values()) and all(self._windows[each] for each in self._open):
            yield _in_one({each: found.pop(0) for each, found in self._windows.items() if found})


def _in_one(windows: Mapping[Job, Window]) -> Stretch:
    account, sides = Account(), dict[str, Labelled]()
    for job, window in windows.items():
        account, sides = account + window.account, together(sides, by_side(job, window.labels))
    # Generators do not start in the same moment; the stretch is as long as a window, not as both together.
    start = fmean(each.start for each in windows.values())
    return Stretch(start, fmean(each.end for each in windows.values()), account, sides)


def by_side(job: Job, labels: Mapping[str, Labelled]) -> dict[str, Labelled]:
    """What the labels mean."""
    found: dict[str, Labelled] = {}
    for label, each in labels.items():
        found = together(found, {job.side_of(label): each})
    return found


def point_of(step: Step, result: StepResult, each: Stretch) -> Point:
    """A window as the report shows it."""
    account = each.account
    return Point(
        each.start,
        each.end,
        result.weight,
        step.title,
        {side: _side(found) for side, found in each.sides.items()},
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
