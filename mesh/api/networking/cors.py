"""Cross-origin resource sharing of a VirtualService.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

from collections.abc import Iterator
from typing import Literal

from mesh.api.base import Duration, Model
from mesh.api.checks import Fault, check
from mesh.api.networking.matches import StringMatch


class CorsPolicy(Model):
    """Cross-origin resource sharing."""

    allow_origins: tuple[StringMatch, ...] = ()
    allow_origin: tuple[str, ...] = ()  # the older form: exact origins, or '*'
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] | None = None

    @check
    def _one_form(self) -> Iterator[Fault]:
        if self.allow_origin and self.allow_origins:
            yield Fault("", "only one of allowOrigin, allowOrigins may be set")
