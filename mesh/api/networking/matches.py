"""Which requests and connections a route of a VirtualService is for.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

import ipaddress
from collections.abc import Iterator

from mesh.api.base import HeaderName, Host, Model, Port, Regex, at_most_one, exactly_one
from mesh.api.checks import Fault, check
from mesh.api.networking.names import bad_gateways
from mesh.api.selector import bad_labels


class StringMatch(Model):
    """One of `exact`, `prefix`, `regex` (the whole text must match; RE2)."""

    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "exact", "prefix", "regex")
        if self.prefix == "":
            raise ValueError("prefix must not be empty")


class HeaderMatch(Model):
    """A StringMatch, or nothing at all, which asks only that the header is there."""

    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "exact", "prefix", "regex")


class HTTPMatchRequest(Model):
    """All conditions of one match must hold; of several matches, one."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[HeaderName, HeaderMatch] = {}
    without_headers: dict[HeaderName, HeaderMatch] = {}
    query_params: dict[str, StringMatch] = {}
    port: Port | None = None
    source_labels: dict[str, str] = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()
    ignore_uri_case: bool = False
    stat_prefix: str = ""

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_labels(self.source_labels, "sourceLabels")
        yield from bad_gateways(self.gateways)


class L4MatchAttributes(Model):
    """Conditions on a TCP connection."""

    destination_subnets: tuple[str, ...] = ()
    port: Port | None = None
    source_labels: dict[str, str] = {}
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_labels(self.source_labels, "sourceLabels")
        yield from bad_gateways(self.gateways)
        for index, each in enumerate(self.destination_subnets):
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError:
                remedy = "write an IP address or a range like 10.0.0.0/8"
                yield Fault(f"destinationSubnets[{index}]", f"{each!r} is no range of addresses", remedy)


class TLSMatchAttributes(L4MatchAttributes):
    """Conditions on a TLS connection, seen from outside."""

    sni_hosts: tuple[Host, ...]
