"""What Envoy can see of a call, by attribute, and how a test of it is said in Envoy's words.

Sources: `mesh.mixer.attributes.check`, which makes the same attributes of Envoy's questions; Envoy's
`config.rbac.v3`, `type.matcher.v3`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from typing import Protocol

from envoy.config.core.v3 import address_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import path_pb2, regex_pb2, string_pb2

from mesh.pilot.compile.mixer.formula import ALWAYS, NEVER, Formula, atom

Principal = rbac_pb2.Principal
StringMatcher = string_pb2.StringMatcher
SPIFFE = "spiffe://"
IDENTITY = r"spiffe://[^/]+/ns/[^/]+/sa/[^/]+"
LONGEST = 8192  # characters of a pattern


class NotHere(Exception):
    """Envoy's own filters cannot decide this; the text says why."""


class Kind(StrEnum):
    """Kinds of tests of a text; of an address there is BLOCK alone."""

    EXACT = "exact"
    ANY_CASE = "any case"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    FOUND = "found"  # a regular expression (RE2) is found anywhere in it
    BLOCK = "block"  # the address is of this block


@dataclass(frozen=True, slots=True)
class Test:
    """A test of a value against a constant."""

    kind: Kind
    value: str

    def text(self, before: str = "") -> string_pb2.StringMatcher:
        """As Envoy's matcher of texts; `before` stands in front of what Mixer's attribute has."""
        match self.kind:
            case Kind.EXACT:
                return StringMatcher(exact=before + self.value)
            case Kind.PREFIX if self.value:
                return StringMatcher(prefix=before + self.value)
            case Kind.SUFFIX if self.value and not before:
                return StringMatcher(suffix=self.value)
            case Kind.ANY_CASE if not before:
                return StringMatcher(exact=self.value, ignore_case=True)
        return whole(re.escape(before) + self.pattern())

    def pattern(self) -> str:
        """As a regular expression for the whole text."""
        value = re.escape(self.value)
        patterns = {
            Kind.EXACT: value,
            Kind.ANY_CASE: f"(?i:{value})",
            Kind.PREFIX: f"{value}.*",
            Kind.SUFFIX: f".*{value}",
            Kind.FOUND: f".*(?:{self.value}).*",
        }
        if self.kind not in patterns:
            raise NotHere("an address is no text")
        return patterns[self.kind]


class Term(Protocol):
    """A value that only the call has."""

    def test(self, test: Test) -> Formula:
        """Whether the value is there and passes."""

    def present(self) -> Formula:
        """Whether there is a value."""

    def operator(self) -> str:
        """Envoy's operator that writes the value into an answer; `NotHere` if there is none."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header, or one of HTTP/2's pseudo-headers, which are always there."""

    name: str

    @property
    def pseudo(self) -> bool:
        """Whether it is one of HTTP/2's, of which there is one."""
        return self.name.startswith(":")

    def test(self, test: Test) -> Formula:
        """Whether it passes; several of one name count as one, joined by commas."""
        return atom(header(name=self.name, string_match=test.text()))

    def present(self) -> Formula:
        """Whether it was sent, empty or not."""
        return ALWAYS if self.pseudo else atom(header(name=self.name, present_match=True))

    def operator(self) -> str:
        """As access logs write it."""
        return f"%REQ({self.name.upper()})%"


@dataclass(frozen=True, slots=True)
class UrlPath:
    """The path without its query."""

    def test(self, test: Test) -> Formula:
        """Whether it passes."""
        return atom(Principal(url_path=path_pb2.PathMatcher(path=test.text())))

    def present(self) -> Formula:
        """Every request has one."""
        return ALWAYS

    def operator(self) -> str:
        """As access logs write it."""
        return "%PATH(NQ)%"


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller's principal: what its certificate says, without `spiffe://`."""

    def test(self, test: Test) -> Formula:
        """Whether it passes."""
        if test.kind is Kind.EXACT and not test.value.startswith(SPIFFE):
            return authenticated(test.text(SPIFFE))
        return authenticated(whole(f"{SPIFFE}(?:{test.pattern()})"))

    def present(self) -> Formula:
        """Whether the caller has shown a certificate of the mesh."""
        return authenticated(StringMatcher(prefix=SPIFFE))

    def operator(self) -> str:
        """Envoy writes the scheme too, which the attribute lacks."""
        raise NotHere("Envoy writes a principal with its scheme")


@dataclass(frozen=True, slots=True)
class IdentityNamespace:
    """The namespace in the caller's certificate, where every caller shows one."""

    def test(self, test: Test) -> Formula:
        """Whether it passes."""
        return authenticated(whole(f"{SPIFFE}[^/]+/ns/{self._part(test)}/sa/[^/]+"))

    def present(self) -> Formula:
        """Whether the certificate names one."""
        return authenticated(whole(IDENTITY))

    def operator(self) -> str:
        """No operator of Envoy's writes a part of an identity."""
        raise NotHere("Envoy writes no part of a principal")

    def _part(self, test: Test) -> str:
        value = re.escape(test.value)
        forms = {Kind.EXACT: value, Kind.PREFIX: f"{value}[^/]*", Kind.SUFFIX: f"[^/]*{value}"}
        if test.kind not in forms:
            raise NotHere("a namespace is compared, or its beginning or end")
        return forms[test.kind]


@dataclass(frozen=True, slots=True)
class Address:
    """The address that the connection comes from, whatever X-Forwarded-For says; Mixer sees the same."""

    def test(self, test: Test) -> Formula:
        """Whether it is of a block."""
        if test.kind is not Kind.BLOCK:
            raise NotHere("an address is compared with addresses")
        return atom(Principal(direct_remote_ip=block(test.value)))

    def present(self) -> Formula:
        """Every caller has one."""
        return ALWAYS

    def operator(self) -> str:
        """As access logs write it."""
        return "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"


def header(**how: object) -> rbac_pb2.Principal:
    """A condition on a header."""
    return Principal(header=route_components_pb2.HeaderMatcher(**how))  # type: ignore[arg-type]


def authenticated(matcher: string_pb2.StringMatcher) -> Formula:
    """A condition on the caller's certificate."""
    return atom(Principal(authenticated=Principal.Authenticated(principal_name=matcher)))


def whole(pattern: str) -> string_pb2.StringMatcher:
    """A regular expression (RE2) for the whole text."""
    if len(pattern) > LONGEST:
        raise NotHere(f"a pattern of {len(pattern)} characters is longer than {LONGEST}")
    return StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=f"(?s:{pattern})"))


def block(text: str) -> address_pb2.CidrRange:
    """A block of addresses, or one address."""
    network = ip_network(text, strict=False)
    result = address_pb2.CidrRange(address_prefix=str(network.network_address))
    result.prefix_len.value = network.prefixlen
    return result


def constant(holds: bool) -> Formula:
    """What is decided already."""
    return ALWAYS if holds else NEVER
