"""What an adapter is: one class, with its parameters, that serves instances of some templates.

A package adds one by an entry point of the group `meshwright.adapters` (name -> class); rules then name it as
`compiledAdapter`. The interface is asyncio's: `check` and `quota` are awaited within the caller's deadline,
`report` returns at once and keeps what it cannot hand on in a bounded queue.
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from prometheus_client import CollectorRegistry

from mesh.api.base import Model
from mesh.api.checks import Fault
from mesh.rules.static import NotStatic, Static
from mesh.rules.types import ValueType

FOREVER = 2**31 - 1
P = TypeVar("P", bound=Model)


class Code(IntEnum):
    """google.rpc.Code: what a check came to."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance made for one call: `values` by the template's field names, absent optional ones left out.

    A field that is a map of expressions (a metric's dimensions, a logentry's variables) is a dict.
    """

    name: str
    template: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """An adapter's answer, and for how long (seconds) and how many calls it may be used again.

    `output` can be referred to in a rule's header operations as `<action name>.output.<key>`; `status` and
    `headers` replace what the code alone would make of the answer to the caller (Istio: DirectHttpResponse).
    """

    code: Code = Code.OK
    message: str = ""
    valid_seconds: float = 0.0
    valid_uses: int = FOREVER
    output: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuotaResult:
    """How much was granted (0: refused), for how long, and after how many seconds to ask again."""

    granted: int
    valid_seconds: float = 0.0
    retry_after: float = 0.0
    code: Code = Code.OK
    message: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """What an adapter gets from where it runs.

    `handler` is its handler's full name (`name.namespace`); `clock` gives the time in seconds since 1970,
    `monotonic` one for measuring; `background` runs a task until the handler is closed; `metrics` is the
    component's own registry (of what it does, not of what rules count); `folder` is for files; `types` are
    those of each instance that rules send to it.
    """

    handler: str
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    background: Callable[[Coroutine[Any, Any, None], str], None]
    metrics: CollectorRegistry
    folder: Path
    types: Mapping[str, Mapping[str, ValueType | Mapping[str, ValueType]]] = field(default_factory=dict)


class Adapter(Generic[P]):
    """Base of adapters. Made with parameters that were checked; used between `start` and `close`."""

    name: ClassVar[str]
    templates: ClassVar[frozenset[str]]
    Params: ClassVar[type[Model]]

    def __init__(self, params: P, environment: Environment) -> None:
        self.params = params
        self.environment = environment

    @classmethod
    def faults(
        cls, params: P, types: Mapping[str, Mapping[str, ValueType | Mapping[str, ValueType]]]
    ) -> Iterator[Fault]:
        """What is wrong with the parameters, given the instances that rules send (by full name)."""
        yield from ()

    @classmethod
    def static(cls, params: P) -> Static | NotStatic:
        """The handler's meaning as a value that Pilot can compile, or why it has none."""
        return NotStatic(f"adapter {cls.name} keeps state or asks others")

    async def start(self) -> None:
        """Get ready; raise if the handler cannot work, so that the last good one is kept."""

    async def close(self) -> None:
        """Hand on what is queued, within reason, and let go of everything."""

    async def check(self, instance: Instance) -> CheckResult:
        """Answer a check (templates checknothing, listentry, authorization, apikey)."""
        raise NotImplementedError

    async def quota(self, instance: Instance, amount: int, *, best_effort: bool, dedup: str) -> QuotaResult:
        """Take `amount`, all or nothing unless `best_effort`; the same `dedup` within a second takes once."""
        raise NotImplementedError

    def report(self, instances: Sequence[Instance]) -> None:
        """Take reports (metric, logentry, tracespan, reportnothing, ...) of one template."""
        raise NotImplementedError
