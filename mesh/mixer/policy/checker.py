"""Decides a call by the rules: checks first, in order, until one refuses; quotas once all of them agreed.

Raises `Failure` where there is no answer: the fail policy of the proxy that asks decides then.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mesh.mixer.bag import Recording
from mesh.mixer.core import Following
from mesh.mixer.live import BoundRule, Failure, Live, Step
from mesh.mixer.policy.cache import CheckCache, shortest
from mesh.mixer.policy.metrics import PolicyMetrics
from mesh.mixer.policy.quotas import Quotas
from mesh.mixer.policy.verdict import ALLOWED, APPEND, REMOVE, REPLACE, HeaderOperation, Verdict, refused
from mesh.mixer.selection import Selection
from mesh.rules.adapter import CheckResult, Code
from mesh.rules.expressions import Absent, EvaluationError
from mesh.rules.resolve import HeaderConfig
from mesh.rules.templates import Variety

CACHED = 10_000
"""Answers kept for use again."""


class Checker:
    """Answers checks by the configuration in force."""

    def __init__(
        self,
        following: Following,
        metrics: PolicyMetrics,
        monotonic: Callable[[], float],
        *,
        cached: int = CACHED,
    ) -> None:
        self._following = following
        self._metrics = metrics
        self._monotonic = monotonic
        self._size = cached
        self._prepared: tuple[Live, CheckCache, Quotas] | None = None

    def __repr__(self) -> str:
        return f"<Checker {self._following!r}>"

    @property
    def cache(self) -> CheckCache:
        """The answers that may be used again."""
        return self._of(self._following.live)[0]

    def _of(self, live: Live) -> tuple[CheckCache, Quotas]:
        """Cache and quotas of a configuration: another one begins with nothing."""
        if self._prepared is None or self._prepared[0] is not live:
            cache = CheckCache(self._size, self._monotonic)
            self._prepared = live, cache, Quotas(live, self._metrics)
        return self._prepared[1], self._prepared[2]

    async def verdict(self, values: Mapping[str, Any]) -> Verdict:
        """The answer for a call with these attributes; raises `Failure`."""
        live = self._following.live.enter()
        try:
            cache, quotas = self._of(live)
            namespace = values.get("destination.namespace") or ""
            rules = live.selection(Variety.CHECK, namespace)
            scope = live.scope(namespace)
            found = await self._checked(cache, rules, scope, values) if rules else ALLOWED
            if found.allowed and quotas.any:
                return await quotas.taken(values, namespace) or found
            return found
        finally:
            live.leave()

    async def _checked(
        self, cache: CheckCache, rules: Selection[BoundRule], scope: str, values: Mapping[str, Any]
    ) -> Verdict:
        found = cache.get(scope, values)
        if found is not None:
            self._metrics.hits.inc()
            return found
        self._metrics.misses.inc()
        bag = Recording(values)
        checks = Checks(bag)
        made = await checks.verdict(rules)
        cache.put(scope, bag.references, made, *shortest(checks.valid))
        return made


class Checks:
    """The checks of one call."""

    def __init__(self, bag: Recording) -> None:
        self.bag = bag
        self.valid: list[tuple[float, int]] = []
        self._request: list[HeaderOperation] = []
        self._response: list[HeaderOperation] = []

    async def verdict(self, rules: Selection[BoundRule]) -> Verdict:
        """Ask the handlers of all rules that match, in order."""
        for rule in rules.matching(self.bag):
            for step in rule.steps:
                result = await checked(step, self.bag)
                self.valid.append((result.valid_seconds, result.valid_uses))
                if result.code != Code.OK:
                    return refused(result, step.handler)
                self._output(step, result)
            self._headers(rule)
        if not self._request and not self._response:
            return ALLOWED
        return Verdict(request_headers=tuple(self._request), response_headers=tuple(self._response))

    def _output(self, step: Step, result: CheckResult) -> None:
        if step.action:
            for key, value in result.output.items():
                self.bag.outputs[f"{step.action}.output.{key}"] = value

    def _headers(self, rule: BoundRule) -> None:
        for each in operations(rule, rule.request_headers, self.bag):
            self._request.append(self._settled(each))
        self._response += operations(rule, rule.response_headers, self.bag)

    def _settled(self, operation: HeaderOperation) -> HeaderOperation:
        """Envoy appends only to a header that is there; what would be the first of its name is set."""
        if operation.operation != APPEND or self._will_have(operation.name):
            return operation
        return HeaderOperation(operation.name, REPLACE, operation.value)

    def _will_have(self, name: str) -> bool:
        """Whether a request has a header, by itself or by an operation before."""
        before = any(each.name == name and each.operation != REMOVE for each in self._request)
        return before or self.bag.entry("request.headers", name.lower()) is not None


async def checked(step: Step, bag: Recording) -> CheckResult:
    """Ask one handler; raises `Failure`."""
    running, instance = step.target(), step.build(bag)
    step.dispatched()
    try:
        return await running.adapter.check(instance)
    except Exception as error:
        step.failed()
        raise Failure(f"handler {step.handler}: {error or type(error).__name__}") from error


def operations(rule: BoundRule, headers: tuple[HeaderConfig, ...], bag: Recording) -> list[HeaderOperation]:
    """The header operations of a rule; one whose value cannot be made is left out and counted."""
    made: list[HeaderOperation] = []
    for header in headers:
        try:
            made += _operations(header, bag)
        except (Absent, EvaluationError):
            rule.unmatched()
    return made


def _operations(header: HeaderConfig, bag: Recording) -> Iterator[HeaderOperation]:
    """Several values of one header: the first as the operation says, the others appended."""
    if header.operation == REMOVE:
        yield HeaderOperation(header.name, REMOVE)
        return
    operation = header.operation
    for value in header.values:
        yield HeaderOperation(header.name, operation, str(value.evaluate(bag)))
        operation = APPEND
