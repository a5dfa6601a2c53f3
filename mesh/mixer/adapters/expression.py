"""`expression`: allows a call if an expression in CEL over who does what is true (in classic Mixer: opa).

`subject` has `user`, `groups`, `properties`; `action` has `namespace`, `service`, `method`, `path`,
`properties`. Texts that the instance leaves out are empty; a property that is not there makes the expression
fail unless it asks `has(...)`. A failure refuses, and is counted: callers could otherwise cause it to pass.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter

from mesh.api.base import Duration, Model
from mesh.api.checks import Fault, check
from mesh.rules.adapter import Adapter, CheckResult, Code, Environment, Instance
from mesh.rules.static import NotStatic, Static

SUBJECT = ("user", "groups")
ACTION = ("namespace", "service", "method", "path")
ALWAYS_WRONG = ("Undefined variable or function", "not a valid regex")
"""What CEL says of faults that no call makes good."""

_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,")
_FAILURES: WeakKeyDictionary[CollectorRegistry, Counter] = WeakKeyDictionary()


class ExpressionFault(ValueError):
    """An expression that is none, or asks for what there is not."""


class ExpressionParams(Model):
    """The expression, what a refused caller is told, and for how long an answer may be used again."""

    expression: str
    message: str = "not allowed"
    cache_duration: Duration = 60.0

    @check
    def _expression(self) -> Iterator[Fault]:
        try:
            compiled(self.expression)
        except ExpressionFault as error:
            yield Fault("expression", str(error), "see cel.dev; subject and action are what it can ask")


class ExpressionCheck(Adapter[ExpressionParams]):
    """Evaluates; CEL always comes to an end, and changes nothing."""

    name: ClassVar[str] = "expression"
    templates: ClassVar[frozenset[str]] = frozenset({"authorization"})
    Params = ExpressionParams

    def __init__(self, params: ExpressionParams, environment: Environment) -> None:
        super().__init__(params, environment)
        self._evaluate = compiled(params.expression)
        self._failures = failures(environment.metrics).labels(environment.handler)
        self._yes = CheckResult(valid_seconds=params.cache_duration)
        self._no = CheckResult(Code.PERMISSION_DENIED, params.message, params.cache_duration)

    @classmethod
    def static(cls, params: ExpressionParams) -> Static | NotStatic:
        """Never."""
        return NotStatic("an expression in CEL is evaluated by istio-policy")

    async def check(self, instance: Instance) -> CheckResult:
        """Allow what the expression says is true."""
        try:
            found = self._evaluate(variables(instance.values))
        except Exception:  # of many kinds: a key that is not there, types that do not fit, a wrong pattern
            self._failures.inc()
            return self._no
        return self._yes if found is True else self._no


def compiled(source: str) -> Callable[[dict[str, Any]], Any]:
    """What evaluates an expression. Raises `ExpressionFault`."""
    import cel

    try:
        program = cel.compile(source)
    except ValueError as error:
        raise ExpressionFault(f"is no expression in CEL: {brief(error)}") from None
    unknown = sorted(set(program.variables()) - {"subject", "action"} - set(_BOUND.findall(source)))
    if unknown:
        raise ExpressionFault(f"asks for {', '.join(unknown)}; there are subject and action")
    tried(program.execute)
    return program.execute


def tried(evaluate: Callable[[dict[str, Any]], Any]) -> None:
    """Evaluate for a call of nobody, which tells some faults. Raises `ExpressionFault`."""
    try:
        found = evaluate(variables({}))
    except Exception as error:  # most are because nobody calls: a property is not there, a text is empty
        if any(each in str(error) for each in ALWAYS_WRONG):
            raise ExpressionFault(f"cannot be evaluated: {brief(error)}") from None
        return
    if not isinstance(found, bool):
        raise ExpressionFault(f"gives {found!r:.40}, which is neither true nor false")


def brief(error: Exception) -> str:
    """The first lines of an error of CEL, in one."""
    return " ".join(str(error).split())[:300]


def variables(values: Mapping[str, Any]) -> dict[str, Any]:
    """An instance as variables of CEL."""
    return {"subject": filled(values.get("subject"), SUBJECT), "action": filled(values.get("action"), ACTION)}


def filled(part: Mapping[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any]:
    """A message with empty texts for what it lacks."""
    given = part or {}
    properties = {key: value_of(value) for key, value in given.get("properties", {}).items()}
    return {**{name: given.get(name, "") for name in names}, "properties": properties}


def value_of(value: Any) -> Any:
    """A value as CEL knows it: addresses are texts."""
    return str(ip_address(value)) if isinstance(value, bytes) and len(value) in (4, 16) else value


def failures(registry: CollectorRegistry) -> Counter:
    """The counter of evaluations that failed: one for all handlers of a process."""
    found = _FAILURES.get(registry)
    if found is None:
        found = _FAILURES[registry] = Counter(
            "mixer_expression_failures",
            "Expressions that could not be evaluated",
            ["handler"],
            registry=registry,
        )
    return found
