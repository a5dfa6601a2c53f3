"""Keeps the authorities in the Secret istio-ca-secret, and takes over the operator's own from `cacerts`."""

from collections.abc import Mapping

import structlog

from mesh.citadel import pems
from mesh.citadel.authority import Authority
from mesh.citadel.errors import BadAuthority
from mesh.citadel.kube import Conflict, Kube, Obj, decoded
from mesh.citadel.settings import CitadelSettings
from mesh.citadel.state import OPERATOR_SECRET, SECRET, TYPE, State
from mesh.pki.clock import Clock

log = structlog.get_logger(component="citadel")


class Keeper:
    """Reads and writes the state. `load()` once, `refresh()` before each use, `save()` to change it."""

    def __init__(self, kube: Kube, settings: CitadelSettings, clock: Clock) -> None:
        self._kube = kube
        self._settings = settings
        self._clock = clock
        self._path = f"/api/v1/namespaces/{settings.namespace}/secrets"
        self._state: State | None = None
        self._secret: Obj = {}

    @property
    def state(self) -> State:
        """What was read or written last."""
        if self._state is None:
            raise RuntimeError("the authorities have not been loaded")
        return self._state

    @property
    def secret(self) -> Obj:
        """The Secret that the state was read from."""
        return self._secret

    async def load(self) -> State:
        """The state at the start, made if there is none; `BadAuthority` names what cannot be used."""
        operators = await self.operators()
        found = await self._kube.get(f"{self._path}/{SECRET}")
        if found is None:
            return await self._first(operators)
        state = State.parse(found, self._where(SECRET))
        if operators is None and state.issuing.ends > self._clock():
            pems.checked(state.issuing, self._where(SECRET), self._clock())
        self._secret, self._state = found, state
        return state

    async def refresh(self) -> State:
        """The state as it is now; a Secret that was removed or damaged is put back as it was."""
        found = await self._kube.get(f"{self._path}/{SECRET}")
        if found is None:
            log.warning("put back", secret=SECRET, reason="it was removed")
            return await self._create(self.state)
        if found["metadata"]["resourceVersion"] == self._secret["metadata"]["resourceVersion"]:
            return self.state
        try:
            self._state = State.parse(found, self._where(SECRET))
        except BadAuthority as error:
            log.warning("put back", secret=SECRET, reason=str(error))
            self._secret = found
            return await self.save(self.state)
        self._secret = found
        return self.state

    async def save(self, state: State, annotations: Mapping[str, str] | None = None) -> State:
        """Write another state in the place of what was read; `Conflict` if somebody else was first."""
        metadata = dict(self._secret["metadata"])
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **(annotations or {})}
        changed = {**self._secret, "metadata": metadata, "data": state.data()}
        self._secret = await self._kube.replace(f"{self._path}/{SECRET}", changed)
        self._state = state
        return state

    async def note(self, annotation: str, text: str) -> None:
        """Write an annotation of the Secret, if it differs; `Conflict` if somebody else was first.

        The answer is taken for what was read, so it must not hold another state.
        """
        metadata = self._secret["metadata"]
        if (metadata.get("annotations") or {}).get(annotation, "") != text:
            wanted = {"resourceVersion": metadata["resourceVersion"], "annotations": {annotation: text}}
            self._secret = await self._kube.merge(f"{self._path}/{SECRET}", {"metadata": wanted})

    async def operators(self) -> Authority | None:
        """The operator's own authority, checked, or None if there is no Secret `cacerts`."""
        found = await self._kube.get(f"{self._path}/{OPERATOR_SECRET}")
        if found is None:
            return None
        where = self._where(OPERATOR_SECRET)
        return pems.checked(pems.read(decoded(found), where), where, self._clock())

    def new_root(self) -> Authority:
        """A new self-signed authority."""
        chosen = self._settings
        return Authority.self_signed(
            chosen.trust_domain,
            now=self._clock(),
            lifetime=chosen.root_lifetime,
            skew=chosen.skew,
            algorithm=chosen.algorithm,
        )

    async def _first(self, operators: Authority | None) -> State:
        log.info("first authority", source=OPERATOR_SECRET if operators else "self-signed")
        try:
            return await self._create(State(operators or self.new_root()))
        except Conflict:  # another Citadel was faster
            return await self.load()

    async def _create(self, state: State) -> State:
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": TYPE,
            "metadata": {"name": SECRET, "labels": {"app.kubernetes.io/part-of": "istio"}},
            "data": state.data(),
        }
        self._secret = await self._kube.create(self._path, made)
        self._state = state
        return state

    def _where(self, name: str) -> str:
        return f"Secret {self._settings.namespace}/{name}"
