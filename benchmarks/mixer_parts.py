"""Mixer's parts by themselves: evaluating an expression. In one process, without a network."""

import timeit
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.mixer.bag import Bag, Recording
from mesh.rules.expressions import compile_expression

CALLS = 100_000
TURNS = 5
VALUES: Mapping[str, Any] = {
    "source.labels": {"app": "frontend", "version": "v1"},
    "source.namespace": "weather",
    "source.principal": "cluster.local/ns/weather/sa/frontend",
    "destination.labels": {"app": "forecast", "version": "v2"},
    "destination.service.host": "forecast.weather.svc.cluster.local",
    "request.path": "/weather",
    "request.headers": {"end-user": "ann", ":authority": "forecast:3002"},
    "response.code": 200,
}
EXPRESSIONS = {
    "equals": 'request.path == "/weather"',
    "label": 'destination.labels["app"] == "forecast"',
    "and": 'source.namespace == "weather" && destination.labels["version"] == "v2" && response.code == 200',
    "default": 'request.headers["x-absent"] | source.labels["app"] | "unknown"',
    "match": 'match(destination.service.host, "*.svc.cluster.local")',
    "matches": '"^/wea.*$".matches(request.path)',
    "conditional": 'conditional((response.code | 0) >= 400, "ERROR", "INFO")',
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Microseconds of one evaluation: with a plain bag, and with one that notes what was referred to."""

    name: str
    text: str
    plain: float
    recording: float


def expressions() -> list[Evaluation]:
    """Each expression; the best of some turns, because other work can only add to it."""
    return [measure(name, text) for name, text in EXPRESSIONS.items()]


def measure(name: str, text: str) -> Evaluation:
    """One expression."""
    evaluate = compile_expression(text).evaluate
    return Evaluation(name, text, each(evaluate, Bag(VALUES)), each(evaluate, Recording(VALUES)))


def each(evaluate: Any, bag: Any) -> float:
    """Microseconds of a call."""
    timer = timeit.Timer(lambda: evaluate(bag))
    return min(timer.repeat(TURNS, CALLS)) / CALLS * 1e6
