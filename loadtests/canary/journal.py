"""The rule as it was, kept in an annotation of itself: whoever comes after a crash can restore it."""

import json
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from loadtests.canary.errors import CanaryError, TakenAway
from loadtests.canary.rollout import Rollout, parse
from pytest_mesh.errors import ApiRefused
from pytest_mesh.kube import Api, Obj

ANNOTATION = "canary.meshwright.io/journal"
API = "networking.istio.io/v1"


@dataclass(frozen=True, slots=True)
class Journal:
    """What a rollout leaves: who it is, its file, the rule before it. `until`: its deadline, Unix time."""

    id: str
    host: str
    pid: int
    process: str
    until: float
    rollout: dict[str, Any]
    spec: Obj
    labels: dict[str, str] | None
    annotations: dict[str, str] | None

    @classmethod
    def new(cls, rollout: Rollout, found: Obj, until: float) -> "Journal":
        """Of a rollout that begins now in this process, on the rule that was found."""
        metadata = found["metadata"]
        return cls(
            uuid.uuid4().hex,
            socket.gethostname(),
            os.getpid(),
            process_start(os.getpid()),
            until,
            rollout.value,
            found["spec"],
            metadata.get("labels"),
            metadata.get("annotations"),
        )

    @property
    def text(self) -> str:
        """As it stands in the annotation."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    def alive(self, now: float) -> bool:
        """Whether its rollout may still run: its process here, or elsewhere before its deadline."""
        if self.host != socket.gethostname():
            return now < self.until
        return self.pid != os.getpid() and process_start(self.pid) == self.process

    def taken_over(self) -> "Journal":
        """The same, now this process's to roll back."""
        return replace(
            self,
            id=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=os.getpid(),
            process=process_start(os.getpid()),
        )

    def parsed_rollout(self) -> Rollout:
        """Its rollout; `ConfigError` if it is none for this version."""
        return parse(self.rollout)


def process_start(pid: int) -> str:
    """When a process of this machine began, by proc(5), `stat` field 22; "" if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def journal_of(found: Mapping[str, Any]) -> Journal | None:
    """The journal on a rule; None without; `CanaryError` if it cannot be read."""
    text = (found["metadata"].get("annotations") or {}).get(ANNOTATION)
    if text is None:
        return None
    try:
        return Journal(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise CanaryError(
            f"the annotation {ANNOTATION} cannot be read: {error}",
            remedy="put the rule right by hand, and remove the annotation",
        ) from None


class Rule:
    """The VirtualService of a rollout. Methods raise `HarnessError`."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api = api
        self.namespace, self.name = namespace, name
        self.reference = {
            "apiVersion": API,
            "kind": "VirtualService",
            "metadata": {"namespace": namespace, "name": name},
        }

    def find(self) -> Obj:
        """As it is now; `CanaryError` if it is not there."""
        found = self._api.find(self.reference)
        if found is None:
            raise CanaryError(
                f"there is no VirtualService {self.namespace}/{self.name}",
                remedy="apply the rule that routes to the baseline first",
            )
        return found

    def write(self, spec: Obj, journal: Journal) -> Obj:
        """Another spec, under the journal."""
        found = self.find()
        annotations = {**(found["metadata"].get("annotations") or {}), ANNOTATION: journal.text}
        return self._put(found, spec, found["metadata"].get("labels"), annotations)

    def restore(self, journal: Journal) -> Obj:
        """Spec, labels and annotations as they were before."""
        return self._put(self.find(), journal.spec, journal.labels, journal.annotations)

    def finish(self, spec: Obj, journal: Journal) -> Obj:
        """A new spec for good; labels and annotations as they were."""
        return self._put(self.find(), spec, journal.labels, journal.annotations)

    def check_ours(self, journal: Journal, spec: Obj) -> None:
        """Raises `TakenAway` unless the rule is as this rollout wrote it."""
        found = self.find()
        other = journal_of(found)
        if other is None or other.id != journal.id:
            raise TakenAway(
                f"VirtualService {self.namespace}/{self.name}: the rollout was aborted from outside"
            )
        if found["spec"] != spec:
            raise CanaryError(
                f"VirtualService {self.namespace}/{self.name} was changed by somebody else meanwhile",
                remedy="change it before or after a rollout",
            )

    def _put(
        self, found: Obj, spec: Obj, labels: dict[str, str] | None, annotations: dict[str, str] | None
    ) -> Obj:
        """One atomic JSON patch; it applies to this very object only, not to one made anew meanwhile."""
        patch: list[Obj] = [
            {"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]},
            {"op": "replace", "path": "/spec", "value": spec},
        ]
        for field, value in (("labels", labels), ("annotations", annotations)):
            path = f"/metadata/{field}"
            if value is not None:
                patch.append({"op": "add", "path": path, "value": value})
            elif found["metadata"].get(field) is not None:
                patch.append({"op": "remove", "path": path})
        try:
            written = self._api.patch(self.reference, patch, kind="json")
        except ApiRefused as error:
            raise CanaryError(
                f"VirtualService {self.namespace}/{self.name}: {error}", remedy=error.remedy
            ) from None
        return {**self.reference, **written}
