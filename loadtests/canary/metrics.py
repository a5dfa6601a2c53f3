"""Figures of the mesh in Prometheus' form: scraped from istio-telemetry, or asked of a Prometheus.

A series that is not there is no zero, and `NoData` says what is missing. Only the part of a `ratio` may be
missing while its whole has grown: counters of what never happened do not exist yet.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from loadtests.canary.rollout import Metric
from pytest_mesh.errors import HarnessError
from pytest_mesh.kube import Api, is_ready

PORT = 42422
QUERY_SECONDS = 10.0
NAMESPACE, SERVICE = "istio-system", "istio-telemetry"
_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Series:
    """One line: name, labels, and the Pod that said it as label `__pod__`."""

    name: str
    labels: tuple[tuple[str, str], ...]

    def matches(self, name: str, where: Mapping[str, str]) -> bool:
        """Whether the name is this and the labels match, each a regular expression of the whole value."""
        labels = dict(self.labels)
        return self.name == name and all(
            re.fullmatch(text, labels.get(label, "")) for label, text in where.items()
        )


Samples = Mapping[Series, float]


def parsed(text: str, pod: str = "") -> dict[Series, float]:
    """The samples of an exposition; lines that are none are left out."""
    found = {}
    for line in text.splitlines():
        match = None if line.startswith("#") else _LINE.match(line.strip())
        if match:
            labels = (*_LABEL.findall(match[2] or ""), ("__pod__", pod))
            found[Series(match[1], tuple(sorted(labels)))] = _number(match[3])
    return found


def scrape(api: Api) -> dict[Series, float]:
    """What the Pods of istio-telemetry show now; empty if none answers."""
    service = api.find(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": NAMESPACE, "name": SERVICE}}
    )
    selector = ",".join(
        f"{k}={v}" for k, v in ((service or {}).get("spec", {}).get("selector") or {}).items()
    )
    found: dict[Series, float] = {}
    for pod in api.items("Pod", NAMESPACE, labels=selector) if selector else ():
        if is_ready(pod):
            name = pod["metadata"]["name"]
            try:
                text = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:{PORT}/proxy/metrics")
            except (HarnessError, requests.RequestException):
                continue
            found |= parsed(str(text), name)
    return found


class NoData(Exception):
    """There is no figure; the text says why, and what to do where that helps."""


def value_of(metric: Metric, before: Samples, after: Samples, seconds: float) -> float:
    """The figure of a window of `seconds`. Raises `NoData`."""
    if metric.query:
        return ask(metric.prometheus, metric.query)
    if not after:
        raise NoData(f"no Pod of {SERVICE} answers with metrics; see 'meshctl status'")
    if metric.form == "quantile":
        return quantile(metric, before, after)
    if metric.form == "ratio":
        whole = increase(metric.name, metric.of, before, after)
        if whole <= 0:
            raise NoData(f"{shown(metric.name, metric.of)} has not grown in the window")
        return _part(metric, before, after) / whole
    if metric.form == "value":
        return _finite(math.fsum(after[each] for each in found(metric.name, metric.where, after)))
    grown = increase(metric.name, metric.where, before, after)
    if metric.form == "rate" and seconds <= 0:
        raise NoData("the window has no length")
    return grown / seconds if metric.form == "rate" else grown


def _part(metric: Metric, before: Samples, after: Samples) -> float:
    """What `where` picks; zero if it picks nothing, but not if it names a label that there is not."""
    series = [each for each in after if each.name == metric.name]
    unknown = set(metric.where) - {label for each in series for label, _ in each.labels}
    if unknown:
        raise NoData(f"no series of {metric.name} has a label {' or '.join(sorted(unknown))}")
    return math.fsum(
        _growth(each, before, after) for each in series if each.matches(metric.name, metric.where)
    )


def found(name: str, where: Mapping[str, str], samples: Samples) -> list[Series]:
    """The series of this name and these labels, one at least. Raises `NoData` that says what there is."""
    series = [each for each in samples if each.matches(name, where)]
    if series:
        return series
    same = [each for each in samples if each.name == name]
    if same:
        raise NoData(f"no series {shown(name, where)}: {_nearest(where, same)}")
    close = difflib.get_close_matches(name, sorted({each.name for each in samples}), 3)
    raise NoData(
        f"{SERVICE} shows no metric {name}" + (f"; did you mean {' or '.join(close)}?" if close else "")
    )


def shown(name: str, where: Mapping[str, str]) -> str:
    """A choice of series as Prometheus writes it."""
    return name + (
        "{" + ", ".join(f'{label}=~"{text}"' for label, text in where.items()) + "}" if where else ""
    )


def _nearest(where: Mapping[str, str], same: Sequence[Series]) -> str:
    """The first label that none of a metric's series agrees with, and its values; else that all disagree."""
    for label, text in where.items():
        values = sorted({dict(each.labels).get(label, "") for each in same})
        if not any(re.fullmatch(text, value) for value in values):
            several = ", ".join(map(repr, values[:5])) + (", ..." if len(values) > 5 else "")
            return f"label {label} is {several} in those that there are"
    return "no series has all these labels together"


def increase(name: str, where: Mapping[str, str], before: Samples, after: Samples) -> float:
    """How much the counters have grown; one that was reset counts from zero. Raises `NoData` without any."""
    return math.fsum(_growth(each, before, after) for each in found(name, where, after))


def quantile(metric: Metric, before: Samples, after: Samples) -> float:
    """A histogram's quantile in the window, by linear interpolation in its bucket. Raises `NoData`."""
    buckets: dict[float, float] = {}
    for each in found(f"{metric.name}_bucket", metric.where, after):
        edge = _number(dict(each.labels).get("le", "nan"))
        buckets[edge] = buckets.get(edge, 0.0) + _growth(each, before, after)
    edges = sorted(edge for edge in buckets if not math.isnan(edge))
    if not edges or buckets[edges[-1]] <= 0:
        raise NoData(f"{shown(metric.name, metric.where)} has observed nothing in the window")
    wanted, low, below = buckets[edges[-1]] * metric.quantile, 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= wanted:
            inside = buckets[edge] - below
            return low if math.isinf(edge) else low + (edge - low) * (wanted - below) / (inside or 1)
        low, below = edge, buckets[edge]
    return low


def ask(prometheus: str, query: str) -> float:
    """The one value of an instant query (HTTP API v1). Raises `NoData`."""
    try:
        answer = requests.get(
            f"{prometheus.rstrip('/')}/api/v1/query", params={"query": query}, timeout=QUERY_SECONDS
        )
    except requests.RequestException as error:
        raise NoData(f"Prometheus at {prometheus} does not answer: {_cause(error)}") from None
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("status") not in ("success", "error"):
        raise NoData(f"{prometheus} answers {answer.status_code}, and not as a Prometheus does")
    if body["status"] == "error":
        raise NoData(f"Prometheus refuses the query {query!r}: {body.get('error')}")
    return _one(body["data"], query)


def _one(data: Mapping[str, Any], query: str) -> float:
    kind, result = data["resultType"], data["result"]
    if kind == "scalar":
        return _finite(float(result[1]))
    if kind != "vector":
        raise NoData(f"the query {query!r} gives a {kind}, not one number")
    if len(result) != 1:
        several = f"gives {len(result)} series: make them one, such as by sum(...)"
        raise NoData(f"the query {query!r} " + (several if result else "finds no series"))
    return _finite(float(result[0]["value"][1]))


def _cause(error: Exception) -> str:
    """The reason at the bottom of nested errors."""
    reason: BaseException = error
    while (inner := reason.__cause__ or reason.__context__) is not None:
        reason = inner
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def wants_scrape(metrics: Iterable[Metric]) -> bool:
    """Whether one of them is scraped."""
    return any(not each.query for each in metrics)


def _growth(each: Series, before: Samples, after: Samples) -> float:
    grown = after[each] - before.get(each, 0.0)
    return grown if grown >= 0 else after[each]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise NoData(f"the value is {value}")
    return value
