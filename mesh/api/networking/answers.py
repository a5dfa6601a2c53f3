"""What a VirtualService makes of a request: another path, a redirect, an answer of the proxy's own.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

from typing import Literal

from mesh.api.base import Model, Port, Regex, Whole, at_most_one, exactly_one
from mesh.api.checks import check


class RegexRewrite(Model):
    """A regular expression over the path, and what its match becomes (`\\1` for groups)."""

    match: Regex
    rewrite: str


class HTTPRewrite(Model):
    """What path and authority become before the request is sent on."""

    uri: str | None = None
    authority: str | None = None
    uri_regex_rewrite: RegexRewrite | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "uri", "uri_regex_rewrite")
        if self.uri is None and self.authority is None and self.uri_regex_rewrite is None:
            raise ValueError("one of uri, authority, uriRegexRewrite must be set")


class HTTPRedirect(Model):
    """An answer that sends the caller elsewhere."""

    uri: str | None = None
    authority: str | None = None
    port: Port | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: str | None = None
    redirect_code: Whole = 301

    @check
    def _content(self) -> None:
        at_most_one(self, "port", "derive_port")
        if self.redirect_code not in {301, 302, 303, 307, 308}:
            raise ValueError(f"redirectCode is {self.redirect_code}; it must be 301, 302, 303, 307 or 308")


class HTTPBody(Model):
    """The body of a direct response."""

    string: str | None = None
    bytes: str | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "string", "bytes")


class HTTPDirectResponse(Model):
    """An answer that the proxy gives itself."""

    status: Whole
    body: HTTPBody | None = None

    @check
    def _status(self) -> None:
        if not 200 <= self.status < 600:
            raise ValueError(f"status is {self.status}; it must be 200-599")
