"""QuotaSpec and QuotaSpecBinding: how much of a quota requests take, and which services count.

Source: Istio 1.6's reference of config.istio.io/v1alpha2 (`mixer.v1.config.client`), and so named.
"""

from collections.abc import Iterator

from pydantic import Field

from mesh.api.base import Model, Regex, Whole, exactly_one
from mesh.api.checks import Fault, check


class StringMatch(Model):
    """One of `exact`, `prefix`, `regex`."""

    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "exact", "prefix", "regex")


class AttributeMatch(Model):
    """Attributes that must all match."""

    clause: dict[str, StringMatch] = {}


class Quota(Model):
    """A quota, and how much of it a request takes."""

    quota: str
    charge: Whole = Field(1, ge=0)

    @check
    def _name(self) -> Iterator[Fault]:
        if not self.quota:
            yield Fault("quota", "is empty", "name an instance of template quota")


class QuotaRule(Model):
    """When one of `match` holds (none: always), the quotas are taken."""

    match: tuple[AttributeMatch, ...] = ()
    quotas: tuple[Quota, ...] = ()

    @check
    def _some(self) -> Iterator[Fault]:
        if not self.quotas:
            yield Fault("quotas", "is empty", "name at least one quota")


class QuotaSpec(Model):
    """Quotas of requests."""

    rules: tuple[QuotaRule, ...] = ()

    @check
    def _some(self) -> Iterator[Fault]:
        if not self.rules:
            yield Fault("rules", "is empty", "write at least one rule")


class IstioService(Model):
    """A service; `*` means all."""

    name: str = ""
    namespace: str = ""
    domain: str = ""
    service: str = ""
    labels: dict[str, str] = {}

    @check
    def _one(self) -> Iterator[Fault]:
        if not self.name and not self.service:
            yield Fault("", "has neither name nor service", "name a service")


class QuotaSpecReference(Model):
    """A QuotaSpec."""

    name: str
    namespace: str = ""


class QuotaSpecBinding(Model):
    """Which services take which quotas."""

    services: tuple[IstioService, ...] = ()
    quota_specs: tuple[QuotaSpecReference, ...] = ()

    @check
    def _some(self) -> Iterator[Fault]:
        for field, alias in (("services", "services"), ("quota_specs", "quotaSpecs")):
            if not getattr(self, field):
                yield Fault(alias, "is empty", "write at least one entry")
