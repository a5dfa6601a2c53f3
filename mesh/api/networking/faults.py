"""Faults on purpose, for a share of a VirtualService's requests.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

from mesh.api.base import Model, Percentage, PositiveDuration, Whole, exactly_one
from mesh.api.checks import check


class Percent(Model):
    """A percentage, 0 to 100, with fractions."""

    value: float = 0.0

    @check
    def _range(self) -> None:
        if not 0 <= self.value <= 100:
            raise ValueError(f"{self.value} is not a percentage (0-100)")


class Delay(Model):
    """Requests are held back for `fixedDelay`."""

    fixed_delay: PositiveDuration
    percentage: Percent | None = None
    percent: Percentage | None = None


class Abort(Model):
    """Requests are answered with an error."""

    http_status: Whole | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "http_status", "grpc_status", "http2_error")
        if self.http_status is not None and not 200 <= self.http_status < 600:
            raise ValueError(f"httpStatus is {self.http_status}; it must be 200-599")


class HTTPFaultInjection(Model):
    """Faults on purpose."""

    delay: Delay | None = None
    abort: Abort | None = None

    @check
    def _some(self) -> None:
        if self.delay is None and self.abort is None:
            raise ValueError("one of delay, abort must be set")
