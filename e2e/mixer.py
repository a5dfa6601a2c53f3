"""What the tests of Mixer share: rules that are in force when `apply` returns, back ends, counts."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from mesh.platform.forward import CannotForward, Forward
from mesh.platform.mixer import GROUPS, POLICY, TELEMETRY, reference, version
from pytest_mesh import eventually
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh, Source
from pytest_mesh.pods import Pod

SYSTEM = "istio-system"
PROGRAMS = (POLICY, TELEMETRY)
CONTAINER = "mixer"
Metrics = Mapping[str, float]
PATIENCE = 1.6
"""Seconds: proxies report once a second, and Prometheus asks four times in one."""


def mixer_object(kind: str, name: str, namespace: str = "weather", **spec: Any) -> Obj:
    """An object of config.istio.io."""
    return {
        "apiVersion": "config.istio.io/v1alpha2",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def handler(name: str, adapter: str, namespace: str = "weather", **params: Any) -> Obj:
    """A handler of a compiled adapter."""
    return mixer_object("handler", name, namespace, compiledAdapter=adapter, params=params)


def instance(name: str, template: str, namespace: str = "weather", **params: Any) -> Obj:
    """An instance of a compiled template."""
    return mixer_object("instance", name, namespace, compiledTemplate=template, params=params)


def rule(name: str, match: str, *actions: tuple[str, str], namespace: str = "weather", **more: Any) -> Obj:
    """A rule: `actions` are pairs of a handler and an instance."""
    to = [{"handler": each, "instances": [made]} for each, made in actions]
    return mixer_object("rule", name, namespace, **({"match": match} if match else {}), actions=to, **more)


def denial(name: str, match: str, namespace: str = "weather", status: Obj | None = None) -> list[Obj]:
    """All that refuses requests: a denier, its instance and the rule with this match."""
    answer = status or {"code": 7, "message": f"{name} says no"}
    return [
        handler(name, "denier", namespace, status=answer),
        instance(name, "checknothing", namespace),
        rule(name, match, (name, name), namespace=namespace),
    ]


def check(name: str, match: str, made: tuple[str, Obj], asked: tuple[str, Obj]) -> list[Obj]:
    """Handler (adapter and parameters), instance (template and parameters) and rule of one name."""
    (adapter, params), (template, fields) = made, asked
    parts = [handler(name, adapter, **params), instance(name, template, **fields)]
    return [*parts, rule(name, match, (name, name))]


class Mixer:
    """istio-policy and istio-telemetry of a mesh, and their interfaces on 15014. Close it."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._forwards: dict[tuple[str, int], Forward] = {}
        self._applied: dict[str, Obj] = {}

    def close(self) -> None:
        """Close the connections."""
        while self._forwards:
            self._forwards.popitem()[1].close()

    def pods(self, program: str) -> list[Pod]:
        """The ready Pods of a program."""
        return [pod for pod in self.mesh.pods(SYSTEM, app=program) if pod.ready]

    def pod(self, program: str) -> Pod:
        """Its one Pod."""
        return self.mesh.pod(SYSTEM, app=program)

    def apply(self, *sources: Source | list[Obj]) -> None:
        """Apply; in force at proxies and in both programs on return."""
        items = [each for source in sources for each in (source if isinstance(source, list) else [source])]
        self.wait_for_removed()
        written = [found for item in items for found in self.mesh.apply(item, wait=False)]
        self._applied |= {reference(item): item for item in written if is_mixers(item)}
        self.mesh.wait_for(written)
        self.wait_for(written)

    def wait_for_removed(self) -> None:
        """Wait until no program knows what earlier tests applied: with each change all kept answers go."""
        gone = {name for name, item in self._applied.items() if self.mesh.api.find(item) is None}

        def forgotten() -> bool:
            for pod in (pod for program in PROGRAMS for pod in self.pods(program)):
                left = gone & self.debug(pod)["versions"].keys()
                assert not left, f"{pod.id} still has {left}"
            return True

        if gone:
            eventually(forgotten, 20, retry_on=(CannotForward,))
            self._applied = {name: item for name, item in self._applied.items() if name not in gone}

    def wait_for(self, items: list[Obj], *programs: str) -> None:
        """Wait until every Pod of the programs has these versions of the objects."""

        def there() -> bool:
            for program in programs or PROGRAMS:
                wanted = {reference(item): version(item) for item in items if is_mixers(item, program)}
                for pod in self.pods(program) if wanted else ():
                    seen = self.debug(pod)["versions"]
                    missing = {name: seen.get(name) for name in wanted if seen.get(name) != wanted[name]}
                    assert not missing, f"{pod.id} has {missing}, not {wanted}"
            return True

        eventually(there, 20, retry_on=(CannotForward,))

    def debug(self, pod: Pod) -> Obj:
        """What it tells on loopback."""
        found: Obj = json.loads(self.get(pod, "/debug/mixer"))
        return found

    def get(self, pod: Pod, path: str, port: int = 15014) -> str:
        """GET of a port on a Pod's loopback; AssertionError unless the answer is 200."""
        key = (pod.name, port)
        forward = self._forwards.get(key)
        if forward is None:
            forward = Forward(self.mesh.api.client, pod.namespace, pod.name, port)
            self._forwards[key] = forward
        answer = forward.request("GET", path)
        assert answer.status == 200, f"{pod}:{port}{path} answered {answer.status}: {answer.text[:300]}"
        return answer.text

    def metrics(self, program: str, port: int = 15014) -> dict[str, float]:
        """A program's metrics, its Pods' together: `name{labels}` to value."""
        found: dict[str, float] = {}
        for pod in self.pods(program):
            for line in self.get(pod, "/metrics", port).splitlines():
                if line and not line.startswith("#"):
                    name, value = line.rsplit(" ", 1)
                    found[name] = found.get(name, 0) + float(value)
        return found

    def counted(self, program: str, name: str) -> float:
        """A metric's value, over all labels."""
        return total(self.metrics(program), name)

    def usage(self) -> list[dict[str, str]]:
        """The ledger, as CSV has it."""
        return list(csv.DictReader(io.StringIO(self.get(self.pod(TELEMETRY), "/usage.csv"))))

    def logged(self, name: str) -> list[Obj]:
        """The entries of a logentry instance among istio-telemetry's messages."""
        lines = self.pod(TELEMETRY).logs(CONTAINER).splitlines()
        entries = [json.loads(line) for line in lines if name in line and line.startswith("{")]
        return [entry for entry in entries if entry.get("instance", "").startswith(f"{name}.")]


def total(metrics: Metrics, name: str) -> float:
    """The sum over all labels of a metric."""
    return sum(value for each, value in metrics.items() if each.partition("{")[0] == name)


def is_mixers(item: Obj, program: str = TELEMETRY) -> bool:
    """Whether a program reads it: istio-telemetry reads Telemetry too."""
    return item["apiVersion"].partition("/")[0] in GROUPS[program]


class Prometheus:
    """A real Prometheus that scrapes istio-telemetry all the time."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    @property
    def pod(self) -> Pod:
        """Its Pod."""
        return self._mesh.pod("backends", app="prometheus")

    def ask(self, query: str) -> list[Obj]:
        """The samples of an instant query: `metric` (labels) and `value`."""
        answer = self.pod.request("GET", 9090, f"/api/v1/query?query={quote(query)}")
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def value(self, query: str) -> float:
        """The one number of a query; 0 if there is none."""
        found = self.ask(query)
        assert len(found) <= 1, f"{query} has {len(found)} values: {found}"
        return float(found[0]["value"][1]) if found else 0.0

    def series(self, metric: str, **labels: str) -> dict[str, float]:
        """The counts of a metric with these labels, by response code."""
        chosen = ",".join(f'{name}="{value}"' for name, value in labels.items())
        found = self.ask(f"sum by (response_code) ({metric}{{{chosen}}})")
        return {each["metric"].get("response_code", ""): float(each["value"][1]) for each in found}

    def scraped_again(self) -> None:
        """Return when what is counted now has been scraped."""
        begun = self._scraped()
        eventually(lambda: self._scraped() > begun + PATIENCE, 60)

    def quiet(self) -> None:
        """Return when proxies have reported all calls so far, and it has been scraped."""
        seen, since = -1.0, 0.0

        def still() -> bool:
            nonlocal seen, since
            if not self.ask("up == 1"):
                return False  # it has asked nobody yet, so it knows of nothing
            scraped = self._scraped()
            now = self.value("sum(istio_requests_total) + sum(istio_tcp_received_bytes_total or vector(0))")
            if now != seen:
                seen, since = now, scraped
            return scraped - since > PATIENCE

        eventually(still, 60)

    def _scraped(self) -> float:
        return max((float(each["value"][1]) for each in self.ask("timestamp(up)")), default=0.0)


@contextmanager
def grown(
    prometheus: Prometheus, read: Any, wanted: Mapping[str, float], *, deadline: float = 60
) -> Iterator[None]:
    """What the block does adds exactly `wanted` to the counts that `read()` gives by name."""
    prometheus.quiet()
    before = read()
    yield

    def as_wanted() -> bool:
        now = read()
        found = {name: now.get(name, 0) - before.get(name, 0) for name in wanted}
        assert found == dict(wanted), f"{found}, not {dict(wanted)}"
        return True

    eventually(as_wanted, deadline)
