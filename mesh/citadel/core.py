"""The heart of Citadel: authorities, revocations, published trust and root rotation, kept in step.

One step compares the platform with what should be and moves it on by at most one phase of a rotation; it runs
after every change of the objects concerned.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from mesh.citadel.authority import Authority
from mesh.citadel.errors import BadAuthority
from mesh.citadel.keeper import Keeper
from mesh.citadel.kube import Kube
from mesh.citadel.metrics import Metrics
from mesh.citadel.publishing import Publisher
from mesh.citadel.revocations import NAME as REVOCATIONS
from mesh.citadel.revocations import Revocations
from mesh.citadel.settings import CitadelSettings
from mesh.citadel.state import ROTATE, ROTATED, STATUS, State, annotation
from mesh.model.trust import TrustBundle
from mesh.pki.clock import Clock

EARLY = 0.1  # of a root's life: so long before its end it is replaced without being asked

Waiting = Callable[[TrustBundle], Iterable[str]]
"""What does not follow a bundle yet, in words; a rotation goes on when there is nothing."""

log = structlog.get_logger(component="citadel")


class Core:
    """Owns the state. `waiting` are asked before each phase of a rotation."""

    def __init__(
        self,
        kube: Kube,
        settings: CitadelSettings,
        keeper: Keeper,
        revocations: Revocations,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._kube = kube
        self._keeper = keeper
        self._revocations = revocations
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._path = f"/api/v1/namespaces/{settings.namespace}/configmaps/{REVOCATIONS}"
        self._one = asyncio.Lock()
        self.waiting: list[Waiting] = []

    def authority(self) -> Authority:
        """The authority that issues now."""
        return self._keeper.state.issuing

    @property
    def phase(self) -> str:
        """Where a rotation stands (see `State.phase`)."""
        return self._keeper.state.phase

    async def step(self) -> None:
        """Put everything right that can be now; raises `KubeError` if the platform does not answer."""
        async with self._one:
            state = await self._adopt(await self._keeper.refresh())
            bundle = await self._publish(state)
            moved = await self._move(state, bundle)
            if moved is not state:
                await self._publish(moved)
            self._count(moved)

    async def _publish(self, state: State) -> TrustBundle:
        await self._revoke()
        return await self._publisher.publish(state, self._revocations)

    async def _revoke(self) -> None:
        """Read what is revoked, and complete what names only an identity."""
        found = await self._kube.get(self._path)
        self._revocations.read((found or {}).get("data") or {})
        completed = list(self._revocations.completed())
        if completed:
            patch = {"data": {entry.key: entry.text() for entry in completed}}
            await self._kube.merge(self._path, patch)
            self._revocations.complete(completed)

    async def _adopt(self, state: State) -> State:
        """Begin to replace the authority if the operator brought another one."""
        try:
            operators = await self._keeper.operators()
        except BadAuthority as error:
            log.error("not taken over", error=str(error))  # noqa: TRY400 - a finding, not a fault
            return state
        known = {each.id for each in state.authorities}
        if operators is None or operators.id in known or state.phase != "steady":
            return state
        log.info("rotation begins", reason="Secret cacerts holds another authority", next=operators.id)
        return await self._keeper.save(state.begin(operators))

    async def _move(self, state: State, bundle: TrustBundle) -> State:
        """The next phase of a rotation, if it can begin."""
        if state.phase == "steady":
            return await self._begin(state)
        left = list(self._left(bundle))
        if left:
            words = f"{state.phase}: waiting for {'; '.join(left[:3])}"
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            await self._keeper.note(STATUS, words + more)
            return state
        if state.next is not None:
            log.info("rotation: the new authority issues", authority=state.next.id)
            return await self._keeper.save(state.switch(), {STATUS: "replacing"})
        log.info("rotation: the old root is withdrawn", authority=state.issuing.id)
        wish = annotation(self._keeper.secret, ROTATE)
        return await self._keeper.save(state.finish(), {STATUS: "steady", ROTATED: wish})

    def _left(self, bundle: TrustBundle) -> Iterable[str]:
        if not self._publisher.programmed():
            yield "Pilot to report the bundle in force at every proxy"
        for waiting in self.waiting:
            yield from waiting(bundle)

    async def _begin(self, state: State) -> State:
        """Begin a rotation that was wished for, or that is due; an expired root is replaced at once."""
        wish = annotation(self._keeper.secret, ROTATE)
        wished = wish not in ("", annotation(self._keeper.secret, ROTATED))
        if not wished and not self._due(state.issuing):
            return state
        if wished and not state.issuing.is_root:
            await self._keeper.note(
                STATUS, "refused: the authority is the operator's; replace Secret cacerts by the new one"
            )
            return state
        if state.issuing.ends <= self._clock():
            log.warning("root replaced without overlap", reason="it has expired")
            return await self._keeper.save(State(self._keeper.new_root()), {ROTATED: wish})
        coming = self._keeper.new_root()
        log.info("rotation begins", reason="wished" if wished else "the root's end is near", next=coming.id)
        return await self._keeper.save(state.begin(coming), {STATUS: "distributing"})

    def _due(self, authority: Authority) -> bool:
        if not authority.is_root:
            return False
        root = authority.certificate
        life = root.not_valid_after_utc - root.not_valid_before_utc
        return root.not_valid_after_utc - self._clock() < life * EARLY

    def _count(self, state: State) -> None:
        self._metrics.root_ends.set(state.roots[0].not_valid_after_utc.timestamp())
        self._metrics.issuer_ends.set(state.issuing.ends.timestamp())
        self._metrics.revoked.set(len(self._revocations.serials()))
