"""The routes of a VirtualService: HTTP, TCP, TLS.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

from collections.abc import Iterator

from mesh.api.base import Duration, Model, Percentage
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.answers import HTTPDirectResponse, HTTPRedirect, HTTPRewrite
from mesh.api.networking.cors import CorsPolicy
from mesh.api.networking.destinations import (
    Destination,
    HTTPRouteDestination,
    RouteDestination,
    check_weights,
)
from mesh.api.networking.faults import HTTPFaultInjection, Percent
from mesh.api.networking.headers import Headers
from mesh.api.networking.matches import HTTPMatchRequest, L4MatchAttributes, TLSMatchAttributes
from mesh.api.networking.retries import HTTPRetry


class HTTPMirrorPolicy(Model):
    """A copy of the requests goes elsewhere; its answers are thrown away."""

    destination: Destination
    percentage: Percent | None = None


class Delegate(Model):
    """Another VirtualService that says the rest."""

    name: str = ""
    namespace: str = ""


class HTTPRoute(Model):
    """The first route with a match that holds is taken."""

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirror_percent: Percentage | None = None
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None

    @check
    def _one_kind(self) -> None:
        kinds = [name for name in ("route", "redirect", "direct_response", "delegate") if getattr(self, name)]
        if len(kinds) != 1:
            raise ValueError(
                f"exactly one of route, redirect, directResponse, delegate must be set, not {kinds or 'none'}"
            )

    @check
    def _combinations(self) -> Iterator[Fault]:
        if self.redirect and self.rewrite:
            yield Fault("rewrite", "a redirect cannot be rewritten", "leave out rewrite")

    @check
    def _weights(self) -> None:
        check_weights([each.weight for each in self.route])

    @check
    def _mirrors(self) -> Iterator[Fault]:
        if self.mirror and self.mirrors:
            yield Fault("", "only one of mirror, mirrors may be set")
        if self.mirror_percent is not None and self.mirror_percentage is not None:
            yield Fault("", "only one of mirrorPercent, mirrorPercentage may be set")

    @advise
    def _retries(self) -> Iterator[Fault]:
        tries = self.retries
        if tries and self.timeout and tries.per_try_timeout and tries.per_try_timeout > self.timeout:
            message = f"{tries.per_try_timeout:g}s is longer than timeout, so there is no second try"
            yield Fault("retries.perTryTimeout", message, "make it shorter than timeout")


class TCPRoute(Model):
    """Where TCP connections go."""

    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...]

    @check
    def _weights(self) -> None:
        check_weights([each.weight for each in self.route])


class TLSRoute(TCPRoute):
    """Where TLS connections go, by SNI."""

    match: tuple[TLSMatchAttributes, ...]
