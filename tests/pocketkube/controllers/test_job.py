"""Jobs: so many good ends, with limited patience."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketkube.api.objects import Obj
from pocketkube.controllers import conditions
from pocketkube.controllers.job import indexes
from tests.pocketkube.controllers.stage import Stage, stage
from tests.pocketkube.controllers.virtual import run

pytestmark = pytest.mark.behaviour("H1")

JOBS = "jobs.batch"


def job(restart: str = "Never", **spec: Any) -> Obj:
    containers = [{"name": "a", "image": "v1"}]
    return {
        "metadata": {"name": "load"},
        "spec": {"template": {"spec": {"restartPolicy": restart, "containers": containers}}, **spec},
    }


def active(scene: Stage) -> list[Obj]:
    return [entry for entry in scene.pods() if entry["status"]["phase"] not in ("Succeeded", "Failed")]


def status(scene: Stage) -> Obj:
    found: Obj = scene.get(JOBS, "load")["status"]
    return found


def verdict(scene: Stage) -> str:
    """The last condition that is true, and its reason."""
    found = [entry for entry in status(scene).get("conditions", []) if entry["status"] == "True"]
    return f"{found[-1]['type']}: {found[-1]['reason']}" if found else ""


async def finish_one(scene: Stage, *, well: bool = True) -> None:
    await scene.finish(active(scene)[0], well=well)


def test_one_pod_that_ends_well() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job())
            assert (status(scene)["active"], status(scene)["ready"]) == (1, 1)
            assert "startTime" in status(scene)
            await finish_one(scene)
            assert verdict(scene) == "Complete: CompletionsReached"
            assert status(scene)["succeeded"] == 1
            assert "completionTime" in status(scene)
            assert scene.events("Completed") == ["Job completed"]

    run(play())


def test_so_many_completions_so_many_at_a_time() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job(completions=5, parallelism=2))
            for left in (5, 4, 3, 2, 1):
                assert len(active(scene)) == min(2, left)
                await finish_one(scene)
            assert len(scene.pods()) == 5
            assert verdict(scene) == "Complete: CompletionsReached"

    run(play())


def test_a_pod_that_fails_is_followed_by_another_after_a_pause() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job())
            for pause in (10, 20, 40):
                await finish_one(scene, well=False)
                await scene.settled(pause - 2)
                assert active(scene) == []
                await scene.settled(3)
                assert len(active(scene)) == 1
            await finish_one(scene)
            assert (status(scene)["failed"], status(scene)["succeeded"]) == (3, 1)
            assert verdict(scene) == "Complete: CompletionsReached"

    run(play())


def test_patience_ends() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job(backoffLimit=1, parallelism=2, completions=2))
            await finish_one(scene, well=False)
            await scene.settled(11)
            await finish_one(scene, well=False)
            assert verdict(scene) == "Failed: BackoffLimitExceeded"
            assert active(scene) == []
            assert scene.events("BackoffLimitExceeded")

    run(play())


def test_the_verdict_waits_for_the_last_pod() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job(backoffLimit=0, parallelism=2, completions=2))
            scene.by_hand = True
            await finish_one(scene, well=False)
            assert verdict(scene) == "FailureTarget: BackoffLimitExceeded"
            ending = next(entry for entry in scene.all("pods") if "deletionTimestamp" in entry["metadata"])
            await scene.remove(ending)
            await scene.settled()
            assert verdict(scene) == "Failed: BackoffLimitExceeded"
            assert status(scene)["failed"] == 1

    run(play())


def test_restarts_inside_a_pod_count_too() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job("OnFailure", backoffLimit=2))
            again = {"name": "a", "image": "i", "imageID": "i", "ready": True, "restartCount": 2}
            await scene.set_status(active(scene)[0], containerStatuses=[again])
            await scene.settled()
            assert verdict(scene) == "Failed: BackoffLimitExceeded"

    run(play())


def test_a_deadline() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job(activeDeadlineSeconds=60))
            await scene.settled(58)
            assert verdict(scene) == ""
            await scene.settled(3)
            assert verdict(scene) == "Failed: DeadlineExceeded"
            assert scene.pods() == []

    run(play())


def test_a_suspended_job_has_no_pods_and_loses_none_of_its_patience() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job(backoffLimit=0))
            await scene.patch(JOBS, "load", {"spec": {"suspend": True}})
            assert scene.all("pods") == []
            assert verdict(scene) == "Suspended: JobSuspended"
            assert "startTime" not in status(scene)
            await scene.patch(JOBS, "load", {"spec": {"suspend": False}})
            assert len(active(scene)) == 1
            await finish_one(scene)
            assert verdict(scene) == "Complete: CompletionsReached"

    run(play())


def test_pods_that_are_gone_still_count() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job(completions=2))
            await finish_one(scene)
            done = next(entry for entry in scene.pods() if entry["status"]["phase"] == "Succeeded")
            await scene.remove(done)
            await scene.settled()
            await finish_one(scene)
            assert status(scene)["succeeded"] == 2
            assert verdict(scene) == "Complete: CompletionsReached"

    run(play())


def test_a_pod_that_somebody_deletes_has_failed() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job())
            await scene.delete("pods", active(scene)[0]["metadata"]["name"])
            assert status(scene)["failed"] == 1
            assert len(active(scene)) == 1

    run(play())


def test_numbered_completions() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job(completions=3, parallelism=3, completionMode="Indexed"))
            by_index = {indexes.index_of(entry): entry for entry in scene.pods()}
            assert set(by_index) == {0, 1, 2}
            second = by_index[1]
            assert {"name": "JOB_COMPLETION_INDEX", "value": "1"} in second["spec"]["containers"][0]["env"]
            assert second["spec"]["hostname"] == "load-1"
            await scene.finish(second, well=False)
            await scene.finish(by_index[0])
            await scene.finish(by_index[2])
            assert status(scene)["completedIndexes"] == "0,2"
            await scene.settled(11)
            assert [indexes.index_of(entry) for entry in active(scene)] == [1]
            await finish_one(scene)
            assert status(scene)["completedIndexes"] == "0-2"
            assert verdict(scene) == "Complete: CompletionsReached"

    run(play())


def test_a_finished_job_goes_in_time_with_its_pods() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job(ttlSecondsAfterFinished=100))
            await finish_one(scene)
            await scene.settled(98)
            assert scene.exists(JOBS, "load")
            await scene.settled(3)
            assert not scene.exists(JOBS, "load")
            assert scene.all("pods") == []

    run(play())


def test_pods_belong_to_their_job() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(JOBS, job())
            uid = scene.get(JOBS, "load")["metadata"]["uid"]
            made = active(scene)[0]
            assert made["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] == uid
            assert made["metadata"]["labels"]["job-name"] == "load"
            assert conditions.find(made["status"]["conditions"], "Ready")

    run(play())


@settings(deadline=None)
@given(st.sets(st.integers(0, 60)))
def test_indexes_as_text(numbers: set[int]) -> None:
    assert indexes.from_text(indexes.as_text(numbers)) == sorted(numbers)
