"""Figures of the mesh in Prometheus' form: scraped from istio-telemetry, or asked of a Prometheus.

A series that is not there is no zero. Only the part of a `ratio` may be missing while its whole has grown:
counters of what never happened do not exist yet.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import requests

from loadtests.canary.rollout import Metric
from pytest_mesh.errors import HarnessError
from pytest_mesh.kube import Api, is_ready

PORT = 42422
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


def value_of(metric: Metric, before: Samples, after: Samples, seconds: float) -> float | None:
    """The figure of a window of `seconds`; None without data."""
    if metric.query:
        return ask(metric)
    if metric.form == "value":
        values = [value for each, value in after.items() if each.matches(metric.name, metric.where)]
        return _finite(math.fsum(values)) if values else None
    if metric.form == "quantile":
        return quantile(metric, before, after)
    grown = increase(metric.name, metric.where, before, after)
    if metric.form == "ratio":
        whole = increase(metric.name, metric.of, before, after)
        return (grown or 0.0) / whole if whole else None
    if grown is None:
        return None
    return grown / seconds if metric.form == "rate" else grown


def increase(name: str, where: Mapping[str, str], before: Samples, after: Samples) -> float | None:
    """How much the counters have grown; one that was reset counts from zero. None if there is none."""
    grown = [_growth(each, before, after) for each in after if each.matches(name, where)]
    return math.fsum(grown) if grown else None


def quantile(metric: Metric, before: Samples, after: Samples) -> float | None:
    """A histogram's quantile in the window, by linear interpolation in its bucket; None without data."""
    buckets: dict[float, float] = {}
    for each in after:
        if each.matches(f"{metric.name}_bucket", metric.where):
            edge = _number(dict(each.labels).get("le", "nan"))
            buckets[edge] = buckets.get(edge, 0.0) + _growth(each, before, after)
    edges = sorted(edge for edge in buckets if not math.isnan(edge))
    if not edges or buckets[edges[-1]] <= 0:
        return None
    wanted, low, below = buckets[edges[-1]] * metric.quantile, 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= wanted:
            inside = buckets[edge] - below
            return low if math.isinf(edge) else low + (edge - low) * (wanted - below) / (inside or 1)
        low, below = edge, buckets[edge]
    return None


def ask(metric: Metric) -> float | None:
    """The value of an instant query; the only one, or None."""
    try:
        answer = requests.get(
            f"{metric.prometheus.rstrip('/')}/api/v1/query", params={"query": metric.query}, timeout=10
        )
        data = answer.json()["data"]
        result = data["result"]
        sample = (
            result if data["resultType"] == "scalar" else result[0]["value"] if len(result) == 1 else None
        )
        return None if sample is None else _finite(float(sample[1]))
    except (requests.RequestException, ValueError, KeyError, TypeError, IndexError):
        return None


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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
