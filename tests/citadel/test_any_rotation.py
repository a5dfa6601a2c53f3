"""S1: whatever happens in whatever order, the newest certificates are trusted, and nobody is left behind.

Hypothesis chooses what happens; Citadel and the API are real. Budget: EXAMPLES sequences of at most STEPS.
"""

from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mesh.citadel.authority import Authority
from mesh.pki import csr as csrs
from mesh.pki.certificates import chain_problem, load_chain
from mesh.pki.keys import new_key
from tests import loops
from tests.citadel.authorities import chained
from tests.citadel.rig import Clock, Mesh, mesh
from tests.citadel.test_rotation import announce, operators, wish
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S1")

EXAMPLES, STEPS = 6, 8
EVENTS = ("wish", "announce", "announce", "first operator", "second operator", "restart", "damage", "months")


class Story:
    """One Citadel and what happens to it."""

    def __init__(self, served: Served, stack: AsyncExitStack) -> None:
        self.served = served
        self.stack = stack
        self.clock = Clock()
        self.it: Mesh
        self.wishes = 0
        self.brought: list[Authority] = []

    async def start(self, namespace: str = "") -> None:
        self.it = await self.stack.enter_async_context(
            mesh(self.served, namespace=namespace, clock=self.clock, classic_secrets=False)
        )

    async def happen(self, event: str) -> None:
        """One thing happens, and Citadel gets the time to see it."""
        if event == "wish":
            self.wishes += 1
            await wish(self.it, str(self.wishes))
        elif event == "announce":
            await announce(self.it)
        elif event.endswith("operator"):
            await self.bring(self.brought[event.startswith("second")])
        elif event == "restart":
            await self.stack.aclose()
            await self.start(self.it.namespace)
        elif event == "damage":
            await self.it.patch("configmaps", "istio-trust", {"data": {"crl.pem": "damaged"}})
        elif event == "months":
            self.clock.pass_(days=20)
        for _ in range(2):
            await self.it.citadel.core.step()

    async def bring(self, authority: Authority) -> None:
        if await self.it.find("secrets", "cacerts") is None:
            await self.it.create("secrets", operators(authority))
        else:
            await self.it.patch("secrets", "cacerts", {"data": operators(authority)["data"]})


@settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    phases=[Phase.generate],  # making a failing sequence smaller would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(events=st.lists(st.sampled_from(EVENTS), min_size=3, max_size=STEPS))
def test_any_order(served: Served, events: list[str]) -> None:
    async def test() -> None:
        async with AsyncExitStack() as stack:
            story = Story(served, stack)
            await story.start()
            story.brought = [chained(story.clock())[0] for _ in range(2)]
            me = await story.it.account(story.it.namespace, "forecast")
            for event in events:
                before = await story.it.citadel.signer.sign(
                    csrs.request(me, new_key()), seconds=90 * 86_400, present=None
                )
                phase = story.it.citadel.core.phase
                await story.happen(event)
                check(story.it, before, withdrawn=event == "announce" and phase == "replacing")

    loops.run(test())


def check(it: Mesh, before: bytes, *, withdrawn: bool) -> None:
    """What holds at all times. Only a withdrawal, which is announced, ends the trust in a certificate."""
    bundle, authority = it.citadel.trust.bundle, it.citadel.core.authority()
    assert bundle.certificates[0] == authority.roots[0]
    assert len(bundle.revocations) == 0
    problem = chain_problem(load_chain(before), bundle.certificates, it.clock())
    assert problem is None or withdrawn
    assert chain_problem([authority.certificate, *authority.above], bundle.certificates, it.clock()) is None
