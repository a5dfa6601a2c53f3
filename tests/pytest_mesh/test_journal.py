"""H2: what a test changed is put back as it was, on a real API server: rules and plain objects alike."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from mesh.api.crds import crd
from mesh.api.kinds import BY_KIND
from pytest_mesh.journal import Journal
from pytest_mesh.kube import Api, Obj
from tests.canary.test_route import RULE
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("H2")
NAMESPACE = "journal"


def rule() -> Obj:
    metadata = {"namespace": NAMESPACE, "name": "r", "labels": {"a": "b"}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata,
        "spec": RULE,
    }


def settings() -> Obj:
    metadata = {"namespace": NAMESPACE, "name": "c"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


@pytest.fixture(scope="module")
def api(served: Served) -> Iterator[Api]:
    connection = Api(served.kubeconfig)
    connection.apply(crd(BY_KIND["VirtualService"]))
    connection.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    yield connection
    connection.close()


@pytest.fixture(params=[rule, settings])
def item(api: Api, request: pytest.FixtureRequest) -> Iterator[Obj]:
    made: Obj = request.param()
    api.create(made)
    yield made
    api.delete(made)


def as_written(found: Obj | None) -> dict[str, Any]:
    assert found is not None
    of_people = ("name", "namespace", "labels", "annotations")
    return {
        **{key: found[key] for key in ("spec", "data") if key in found},
        **{key: found["metadata"].get(key) for key in of_people},
    }


def test_changes_are_put_back(api: Api, item: Obj) -> None:
    before = as_written(api.find(item))
    journal = Journal(api)
    journal.patch(item, {"metadata": {"labels": {"a": None, "c": "d"}, "annotations": {"e": "f"}}})
    assert as_written(api.find(item)) != before
    restored, removed = journal.undo_to(0)
    assert (as_written(api.find(item)), [as_written(each) for each in restored]) == (before, [before])
    assert removed == []


def test_what_was_deleted_is_made_anew(api: Api, item: Obj) -> None:
    before = as_written(api.find(item))
    journal = Journal(api)
    assert journal.delete(item)
    assert api.find(item) is None
    journal.undo_to(0)
    assert as_written(api.find(item)) == before


class Hurried(Api):
    """An API where somebody else changes an object right after it was read, so many times."""

    changes = 0

    def find(self, item: Mapping[str, Any]) -> Obj | None:
        found = super().find(item)
        if found is not None and self.changes:
            self.changes -= 1
            self.patch(item, {"metadata": {"annotations": {"note": str(self.changes)}}})
        return found


def test_who_changes_it_meanwhile_does_not_hinder_that(api: Api, item: Obj) -> None:
    before = as_written(api.find(item))
    with closing(Hurried(api.kubeconfig)) as hurried:
        journal = Journal(hurried)
        journal.patch(item, {"metadata": {"labels": {"c": "d"}}})
        hurried.changes = 3
        journal.undo_to(0)
        assert hurried.changes == 0
    assert as_written(api.find(item)) == before
