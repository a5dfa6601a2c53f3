"""`listchecker`: looks a value up in a list, a white or a black one.

Source: Istio 1.6's reference of the adapter, parameters and their defaults. A list that cannot be had at
first keeps the handler from starting; one that is older than `ttl` is dropped, and checks then fail, which
leaves them to the proxy's fail policy.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import structlog
from pydantic import Field

from mesh.api.base import Count, Duration, Model
from mesh.api.checks import Fault, check
from mesh.mixer.adapters.limits import text
from mesh.mixer.adapters.lists import Has, Kind, lines, made
from mesh.mixer.adapters.providers import NoList, fetched, url_faults
from mesh.rules.adapter import Adapter, CheckResult, Environment, Instance
from mesh.rules.answers import no_address, unlisted
from mesh.rules.static import InList, NotStatic, Static

RETRY = 5.0
"""Seconds, at most, until a list that could not be had is asked for again."""

log = structlog.get_logger(component="mixer")


class ListCheckerParams(Model):
    """A list: `overrides`, and what is at `providerUrl`, one entry a line, asked for again and again."""

    provider_url: str = ""
    refresh_interval: Duration = 60.0
    ttl: Duration = 300.0
    caching_interval: Duration = 300.0
    caching_use_count: Count = 10_000
    overrides: list[str] = Field(default_factory=list)
    entry_type: Kind = Kind.STRINGS
    blacklist: bool = False

    @check
    def _entries(self) -> Iterator[Fault]:
        for index, entry in enumerate(self.overrides):
            try:
                made(self.entry_type, [entry])
            except ValueError as error:
                yield Fault(f"overrides[{index}]", str(error))

    @check
    def _provider(self) -> Iterator[Fault]:
        if not self.provider_url:
            return
        yield from url_faults("providerUrl", self.provider_url)
        if self.refresh_interval < 1:
            yield Fault("refreshInterval", f"is {self.refresh_interval:g}s, below 1s", "write 1s or more")
        if self.ttl < self.refresh_interval:
            told = f"is {self.ttl:g}s, shorter than refreshInterval ({self.refresh_interval:g}s)"
            yield Fault("ttl", told, "write more than twice of that, so that one failure drops no list")


class ListChecker(Adapter[ListCheckerParams]):
    """Keeps the list that it has until another can be had, or `ttl` is over."""

    name: ClassVar[str] = "listchecker"
    templates: ClassVar[frozenset[str]] = frozenset({"listentry"})
    Params = ListCheckerParams

    def __init__(self, params: ListCheckerParams, environment: Environment) -> None:
        super().__init__(params, environment)
        self._has: Has = made(params.entry_type, params.overrides)
        self._source: str | None = None
        self._since = 0.0
        self._why = ""

    @classmethod
    def static(cls, params: ListCheckerParams) -> Static | NotStatic:
        """The list, if all of it is written here."""
        if params.provider_url:
            return NotStatic(f"the list is at {params.provider_url}")
        return InList(params.entry_type.value, tuple(params.overrides), params.blacklist)

    async def start(self) -> None:
        """Get the list; raises `NoList`."""
        if self.params.provider_url:
            await self._fetch()
            self.environment.background(self._refreshing(), "refresh")

    async def refresh(self) -> bool:
        """Ask for the list again; whether it could be had. The one from before stays otherwise."""
        try:
            await self._fetch()
        except NoList as error:
            if not self._why:
                log.warning("a list stays as it was", handler=self.environment.handler, error=str(error))
            self._why = str(error)
            return False
        return True

    async def check(self, instance: Instance) -> CheckResult:
        """Refuse what is on a black list, or not on a white one. Raises `NoList` where there is no list."""
        self._check_age()
        value = text(instance.values["value"])
        try:
            refused = self._has(value) is self.params.blacklist
        except ValueError:
            return self._lasting(no_address(value))
        result = unlisted(value, blacklist=self.params.blacklist) if refused else CheckResult()
        return self._lasting(result)

    def _lasting(self, result: CheckResult) -> CheckResult:
        seconds, uses = self.params.caching_interval, self.params.caching_use_count
        return replace(result, valid_seconds=seconds, valid_uses=uses)

    def _check_age(self) -> None:
        if not self.params.provider_url:
            return
        age = self.environment.monotonic() - self._since
        if age > self.params.ttl:
            raise NoList(
                f"the list is {age:.0f} s old, more than its ttl ({self.params.ttl:g} s); {self._why}"
            )

    async def _fetch(self) -> None:
        source = await fetched(self.params.provider_url)
        if source != self._source:
            try:
                self._has = made(self.params.entry_type, [*self.params.overrides, *lines(source)])
            except ValueError as error:
                raise NoList(f"the list at {self.params.provider_url} is wrong: {error}") from None
        self._source, self._since, self._why = source, self.environment.monotonic(), ""

    async def _refreshing(self) -> None:
        """Refresh until the handler is closed."""
        pause = self.params.refresh_interval
        while True:
            await asyncio.sleep(pause)
            there = await self.refresh()
            pause = self.params.refresh_interval if there else min(RETRY, self.params.refresh_interval)
