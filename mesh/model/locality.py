"""Where a workload runs: region, zone, sub-zone, as Envoy's `Locality` has it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Locality:
    """A place; empty strings where a level is unknown. Printed as Istio does: `region/zone/subzone`."""

    region: str = ""
    zone: str = ""
    subzone: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.region, self.zone, self.subzone) if part)

    @classmethod
    def parse(cls, text: str) -> "Locality":
        """Read `region/zone/subzone` (Istio's `istio-locality` label uses dots in place of slashes)."""
        region, zone, subzone, *_ = [*text.replace(".", "/").split("/"), "", "", ""]
        return cls(region, zone, subzone)
