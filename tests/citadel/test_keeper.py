"""S1: what is kept is what was read, although two write it (an update of Citadel runs two for a moment)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mesh.citadel.keeper import Keeper
from mesh.citadel.kube import Conflict, Kube
from mesh.citadel.state import STATUS, annotation
from mesh.pki.clock import utc_now
from tests import loops
from tests.citadel.rig import settings_for
from tests.live import client_of
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S1")


@asynccontextmanager
async def keepers(served: Served) -> AsyncIterator[tuple[Keeper, Keeper]]:
    """Two that keep the same Secret; both have read it."""
    settings = settings_for(served.namespace())
    async with client_of(served.kubeconfig) as client:
        first, second = (Keeper(Kube(client), settings, utc_now) for _ in range(2))
        await first.load()
        await second.load()
        yield first, second


def test_a_note_on_what_another_one_has_changed_is_refused_and_the_change_seen(served: Served) -> None:
    async def test() -> None:
        async with keepers(served) as (first, second):
            begun = await first.save(first.state.begin(first.new_root()))
            with pytest.raises(Conflict, match="modified"):
                await second.note(STATUS, "waiting for Pilot")
            assert (await second.refresh()).roots == begun.roots
            assert annotation(second.secret, STATUS) == ""

    loops.run(test())


def test_a_note_is_written_once_and_leaves_what_is_kept(served: Served) -> None:
    async def test() -> None:
        async with keepers(served) as (first, second):
            await first.note(STATUS, "waiting for Pilot")
            written = first.secret["metadata"]["resourceVersion"]
            await first.note(STATUS, "waiting for Pilot")
            assert first.secret["metadata"]["resourceVersion"] == written
            kept = await second.refresh()
            assert kept.roots == first.state.roots
            assert annotation(second.secret, STATUS) == "waiting for Pilot"

    loops.run(test())
