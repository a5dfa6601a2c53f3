"""One counter over all kinds, a log that loses nothing, and what is too old for it."""

import asyncio

import pytest

from pocketkube.api.errors import Expired
from pocketkube.api.store import Store
from pocketkube.api.watching import Watch
from tests.pocketkube.api.rig import config_map, new_api, pod

pytestmark = pytest.mark.behaviour("H1")


def thing(name: str, **labels: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "n", "labels": labels}}


def kinds(watch: Watch) -> list[tuple[str, str]]:
    return [(event.type, event.object["metadata"]["name"]) for event in watch.pending()]


def test_revisions_are_counted_over_all_kinds() -> None:
    store = Store()
    first = store.put("a", ("n", "x"), thing("x"))
    second = store.put("b", ("n", "x"), thing("x"))
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1
    assert int(store.remove("a", ("n", "x"))["metadata"]["resourceVersion"]) == store.revision


def test_what_was_stored_is_not_changed_by_later_versions() -> None:
    store = Store()
    first = store.put("a", ("n", "x"), thing("x"))
    store.put("a", ("n", "x"), thing("x", seen="yes"))
    assert first["metadata"]["labels"] == {}


def test_a_watch_begins_where_a_list_ended() -> None:
    store = Store()
    store.put("a", ("n", "x"), thing("x"))
    since = store.revision
    store.put("a", ("n", "y"), thing("y"))
    store.put("a", ("n", "y"), thing("y", again="yes"))
    store.remove("a", ("n", "x"))
    assert kinds(Watch(store.log("a"), since)) == [("ADDED", "y"), ("MODIFIED", "y"), ("DELETED", "x")]


def test_objects_enter_and_leave_a_selection() -> None:
    store = Store()
    watch = Watch(store.log("a"), store.revision, "", lambda obj: "in" in obj["metadata"]["labels"])
    store.put("a", ("n", "x"), thing("x"))
    assert kinds(watch) == []
    store.put("a", ("n", "x"), thing("x", **{"in": "yes"}))
    assert kinds(watch) == [("ADDED", "x")]
    store.put("a", ("n", "x"), thing("x"))
    event = watch.pending()[0]
    assert (event.type, event.object["metadata"]["labels"]) == ("DELETED", {"in": "yes"})
    assert event.object["metadata"]["resourceVersion"] == str(store.revision)


def test_other_namespaces_are_not_told() -> None:
    store = Store()
    watch = Watch(store.log("a"), store.revision, "m")
    store.put("a", ("n", "x"), thing("x"))
    assert kinds(watch) == []


def test_a_log_forgets_its_older_half_when_it_is_full() -> None:
    store = Store(log_limit=10)
    begin = store.revision
    for number in range(30):
        store.put("a", ("n", f"x{number}"), thing(f"x{number}"))
    with pytest.raises(Expired, match="too old resource version"):
        Watch(store.log("a"), begin)
    assert kinds(Watch(store.log("a"), store.revision - 1)) == [("ADDED", "x29")]


def test_a_slow_watcher_is_told_that_it_missed_something() -> None:
    store = Store(log_limit=10)
    watch = Watch(store.log("a"), store.revision)
    for number in range(30):
        store.put("a", ("n", f"x{number}"), thing(f"x{number}"))
    with pytest.raises(Expired):
        watch.pending()


async def test_waiting_ends_with_the_next_change_or_in_time() -> None:
    store = Store()
    watch = Watch(store.log("a"), store.revision)
    assert not await watch.wait(0.001)
    waiting = asyncio.create_task(watch.wait(5))
    await asyncio.sleep(0)
    store.put("a", ("n", "x"), thing("x"))
    assert await waiting


async def test_in_process_watches_follow_without_gaps() -> None:
    api = await new_api()
    _, revision = api.list("configmaps", "demo")
    await api.create("configmaps", config_map("a"), "demo")
    events = api.watch("configmaps", "demo", since=revision)
    assert (await anext(events)).object["metadata"]["name"] == "a"
    following = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await api.create("configmaps", config_map("b"), "demo")
    assert (await following).object["metadata"]["name"] == "b"


async def test_field_selectors_follow_pods_of_a_node() -> None:
    api = await new_api()
    watch = api.watch_position("pods", since=api.core.store.revision, fields="spec.nodeName=one")
    await api.create("pods", pod(), "demo")
    assert watch.pending() == []
    await api.patch("pods", "p", "demo", {"spec": {"nodeName": "one"}})
    assert [event.type for event in watch.pending()] == ["ADDED"]
    assert api.list("pods", fields="spec.nodeName=one")[0][0]["metadata"]["name"] == "p"
    assert api.list("pods", fields="spec.nodeName!=one")[0] == []
