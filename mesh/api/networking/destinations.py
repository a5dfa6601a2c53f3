"""Where a route of a VirtualService leads, and with which share.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

from collections.abc import Iterator

from mesh.api.base import Host, Model, Port, Whole
from mesh.api.checks import Fault, check
from mesh.api.networking.headers import Headers

TOTAL_WEIGHT = 2**32 - 1


class PortSelector(Model):
    """A port of the destination."""

    number: Port


class Destination(Model):
    """A service, perhaps one subset or port of it."""

    host: Host
    subset: str | None = None
    port: PortSelector | None = None

    @check
    def _one_host(self) -> Iterator[Fault]:
        if "*" in self.host:
            yield Fault("host", f"{self.host!r} is a wildcard", "a destination is one service")


class HTTPRouteDestination(Model):
    """A destination and its share of the requests."""

    destination: Destination
    weight: Whole = 0
    headers: Headers | None = None

    @check
    def _weight(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight}; it must not be negative")


class RouteDestination(Model):
    """A destination and its share of the connections."""

    destination: Destination
    weight: Whole = 0


def check_weights(weights: list[int]) -> None:
    """Raise ValueError unless the shares of several destinations mean something."""
    if len(weights) > 1 and sum(weights) == 0:
        raise ValueError("the weights of the destinations add up to 0; at least one must be above 0")
    if sum(weights) > TOTAL_WEIGHT:
        raise ValueError(f"the weights add up to {sum(weights)}; Envoy takes {TOTAL_WEIGHT} at the most")
