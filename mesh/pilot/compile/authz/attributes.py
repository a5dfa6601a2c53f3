"""Every attribute that a policy may ask for, and how Envoy sees it. One table, by key.

Sources: Istio's reference "Authorization Policy Conditions"; Envoy's `config.rbac.v3`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Generic, NamedTuple

from envoy.config.core.v3 import address_pb2, extension_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.path.match.uri_template.v3 import uri_template_match_pb2
from envoy.type.matcher.v3 import metadata_pb2, path_pb2, value_pb2

from mesh.api.base import header_name
from mesh.api.security.templates import bad_template, is_template
from mesh.api.security.templates import plain as plain_template
from mesh.pilot.compile.authz import texts
from mesh.pilot.compile.authz.conditions import HOST, METHOD, PATH
from mesh.pilot.compile.authz.sides import PRINCIPAL, M, Permission, Principal
from mesh.pilot.compile.messages import packed

JWT_FILTER = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"
"""Where the filter of tokens leaves the claims of a token that it has found good."""

EXPERIMENTAL = "experimental."
LONGEST_IDENTITY = 2048  # SPIFFE; a longer expression than one of that length would be refused by Envoy


class Inexpressible(ValueError):
    """A condition that cannot be expressed: its value is none of its kind, or its key is unknown."""


class Asked(NamedTuple):
    """One value that is asked for: the name in the key's brackets, and the namespace of the policy."""

    value: str
    name: str = ""
    home: str = ""


@dataclass(frozen=True, slots=True)
class Attribute(Generic[M]):
    """How one value of an attribute is matched, and whether connections that are not HTTP lack it."""

    match: Callable[[Asked], M]
    http_only: bool = False


# Of the caller


def authenticated(matcher: Callable[[Asked], texts.StringMatcher]) -> Callable[[Asked], rbac_pb2.Principal]:
    """The identity in the caller's certificate."""

    def match(asked: Asked) -> rbac_pb2.Principal:
        if len(asked.value) > LONGEST_IDENTITY:
            raise Inexpressible(f"{asked.value[:40]!r}... is longer than an identity can be")
        return Principal(authenticated=rbac_pb2.Principal.Authenticated(principal_name=matcher(asked)))

    return match


def direct_address(asked: Asked) -> rbac_pb2.Principal:
    """The address that the connection comes from."""
    return Principal(direct_remote_ip=block(asked.value))


def original_address(asked: Asked) -> rbac_pb2.Principal:
    """The address of the first caller, as X-Forwarded-For or the PROXY protocol say."""
    return Principal(remote_ip=block(asked.value))


def request_header(asked: Asked) -> rbac_pb2.Principal:
    """A header of the request."""
    try:
        return Principal(header=texts.header(header_name(asked.name), asked.value))
    except ValueError as error:
        raise Inexpressible(str(error)) from None


def request_principal(asked: Asked) -> rbac_pb2.Principal:
    """Issuer and subject of the token, as one text `issuer/subject`, though Envoy has them apart."""
    return PRINCIPAL.one_of([both(*names) for names in token_names(asked.value)])


def both(issuer: value_pb2.ValueMatcher, subject: value_pb2.ValueMatcher) -> rbac_pb2.Principal:
    """A token of such an issuer for such a subject."""
    found = (claim(("iss",), issuer), claim(("sub",), subject))
    return PRINCIPAL.every([token(each) for each in found])


def token_names(value: str) -> Iterator[tuple[value_pb2.ValueMatcher, value_pb2.ValueMatcher]]:
    """All ways in which issuer and subject can make up the text. Any slash may be the one between them,
    and beside a wildcard it may be what the wildcard stands for.
    """
    some, starts, ends = (
        plain(texts.ANYTHING),
        value.startswith(texts.ANYTHING),
        value.endswith(texts.ANYTHING),
    )
    if value == texts.ANYTHING:
        yield some, some
    elif starts:
        yield some, plain(value)
    elif ends:
        yield plain(value), some
    for slash in (at for at, letter in enumerate(value) if letter == "/"):
        issuer, subject = value[:slash], value[slash + 1 :]
        yield plain(issuer) if starts else exactly(issuer), plain(subject) if ends else exactly(subject)


def token_claim(*fixed: str) -> Callable[[Asked], rbac_pb2.Principal]:
    """A claim of the token: a text, or a list with such a text in it."""
    return lambda asked: token(claim(fixed or tuple(asked.name.split("][")), plain_or_listed(asked.value)))


# Of what is called


def operation_host(asked: Asked) -> rbac_pb2.Permission:
    """The host that is asked for; case does not matter."""
    return Permission(header=texts.header(":authority", asked.value, ignore_case=True))


def operation_method(asked: Asked) -> rbac_pb2.Permission:
    """The method."""
    return Permission(header=texts.header(":method", asked.value))


def operation_path(asked: Asked) -> rbac_pb2.Permission:
    """The path without its query; a template (`{*}` one segment, `{**}` any number) or a text."""
    if is_template(asked.value):
        reason = bad_template(asked.value)
        if reason:
            raise Inexpressible(reason)
        config = uri_template_match_pb2.UriTemplateMatchConfig(path_template=plain_template(asked.value))
        return Permission(
            uri_template=extension_pb2.TypedExtensionConfig(name="uri-template", typed_config=packed(config))
        )
    return Permission(url_path=path_pb2.PathMatcher(path=texts.text(asked.value)))


def destination_port(asked: Asked) -> rbac_pb2.Permission:
    """The port of the workload, or of the gateway."""
    if not asked.value.isdecimal() or int(asked.value) > 65535:
        raise Inexpressible(f"{asked.value!r} is not a port number")
    return Permission(destination_port=int(asked.value))


def destination_address(asked: Asked) -> rbac_pb2.Permission:
    """The address that the caller has connected to."""
    return Permission(destination_ip=block(asked.value))


def server_name(asked: Asked) -> rbac_pb2.Permission:
    """The name that the caller asks for when TLS begins."""
    return Permission(requested_server_name=texts.text(asked.value))


def filter_metadata(asked: Asked) -> rbac_pb2.Permission:
    """What another filter of Envoy has left: `filter[key]`; a value in brackets is one of a list."""
    source, _, key = asked.name.partition("[")
    value = asked.value
    listed = value.startswith("[") and value.endswith("]")
    matcher = one_of_list(plain(value[1:-1])) if listed else plain(value)
    found = metadata_pb2.MetadataMatcher(filter=source, path=[segment(key)], value=matcher)
    return Permission(sourced_metadata=rbac_pb2.SourcedMetadata(metadata_matcher=found))


# Pieces


def block(value: str) -> address_pb2.CidrRange:
    """A block of addresses, or one address."""
    try:
        network = ip_network(value, strict=False)
    except ValueError as error:
        raise Inexpressible(str(error)) from None
    result = address_pb2.CidrRange(address_prefix=str(network.network_address))
    result.prefix_len.value = network.prefixlen
    return result


def claim(path: tuple[str, ...], value: value_pb2.ValueMatcher) -> metadata_pb2.MetadataMatcher:
    """A claim of the token, by its path."""
    segments = [segment(each) for each in (PAYLOAD, *path)]
    return metadata_pb2.MetadataMatcher(filter=JWT_FILTER, path=segments, value=value)


def token(found: metadata_pb2.MetadataMatcher) -> rbac_pb2.Principal:
    """What the filter of tokens has left of this request."""
    return Principal(sourced_metadata=rbac_pb2.SourcedMetadata(metadata_matcher=found))


def segment(key: str) -> metadata_pb2.MetadataMatcher.PathSegment:
    """One step into metadata."""
    return metadata_pb2.MetadataMatcher.PathSegment(key=key)


def plain(value: str) -> value_pb2.ValueMatcher:
    """A text."""
    return value_pb2.ValueMatcher(string_match=texts.text(value))


def exactly(value: str) -> value_pb2.ValueMatcher:
    """This very text, whatever signs it has."""
    return value_pb2.ValueMatcher(string_match=texts.StringMatcher(exact=value))


def one_of_list(value: value_pb2.ValueMatcher) -> value_pb2.ValueMatcher:
    """A list with such a value in it."""
    return value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=value))


def plain_or_listed(value: str) -> value_pb2.ValueMatcher:
    """A text, or a list with such a text in it."""
    either = value_pb2.OrMatcher(value_matchers=[one_of_list(plain(value)), plain(value)])
    return value_pb2.ValueMatcher(or_match=either)


# The table

PRINCIPALS: dict[str, Attribute[rbac_pb2.Principal]] = {
    "source.principal": Attribute(authenticated(lambda asked: texts.identity(asked.value))),
    "source.namespace": Attribute(authenticated(lambda asked: texts.namespace(asked.value))),
    "source.serviceAccount": Attribute(authenticated(lambda asked: texts.account(asked.value, asked.home))),
    "source.ip": Attribute(direct_address),
    "remote.ip": Attribute(original_address),
    "request.headers": Attribute(request_header, http_only=True),
    "request.auth.principal": Attribute(request_principal, http_only=True),
    "request.auth.audiences": Attribute(token_claim("aud"), http_only=True),
    "request.auth.presenter": Attribute(token_claim("azp"), http_only=True),
    "request.auth.claims": Attribute(token_claim(), http_only=True),
}
PERMISSIONS: dict[str, Attribute[rbac_pb2.Permission]] = {
    HOST: Attribute(operation_host, http_only=True),
    METHOD: Attribute(operation_method, http_only=True),
    PATH: Attribute(operation_path, http_only=True),
    "destination.port": Attribute(destination_port),
    "destination.ip": Attribute(destination_address),
    "connection.sni": Attribute(server_name),
    EXPERIMENTAL: Attribute(filter_metadata),
}


def divided(key: str) -> tuple[str, str]:
    """The table's key for a key of a policy, and the name in its brackets.

    >>> divided("request.headers[x-a]"), divided("experimental.envoy.filters.a.b[c]")
    (('request.headers', 'x-a'), ('experimental.', 'envoy.filters.a.b[c'))
    """
    if key.startswith(EXPERIMENTAL):
        return EXPERIMENTAL, key.removeprefix(EXPERIMENTAL).removesuffix("]")
    head, bracket, name = key.partition("[")
    return head, name.removesuffix("]") if bracket else ""
