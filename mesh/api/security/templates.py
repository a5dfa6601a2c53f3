"""Templates of paths: `{*}` stands for one segment, `{**}` for any number of them.

Sources: Istio's reference of AuthorizationPolicy (`paths`); Envoy's `UriTemplateMatchConfig`. Envoy 1.40 ends
itself when it gets a template that it cannot parse, so no other may ever reach it.
"""

import re

ONE, ANY = "{*}", "{**}"
LONGEST = 256  # signs, as Envoy writes a template: without braces

_LITERAL = re.compile(r"^[a-zA-Z0-9._~%!$&'()+,;:@=-]+\Z")


def is_template(path: str) -> bool:
    """Whether a path is one: it has a placeholder.

    >>> is_template("/a/{*}"), is_template("/a/*")
    (True, False)
    """
    return ONE in path or ANY in path


def plain(template: str) -> str:
    """The template as Envoy writes it."""
    return template.replace(ANY, "**").replace(ONE, "*")


def bad_template(path: str) -> str:
    """Why Envoy would not take a template; "" if it does.

    >>> bad_template("/a/{**}/b"), bad_template("/{**}/{*}")
    ('', "'/{**}/{*}' has a placeholder after {**}, which must be the last one")
    """
    first, *segments = path.split("/")
    if first or not segments:
        return f"{path!r} is a template that does not begin with '/'"
    if "" in segments[:-1]:
        return f"{path!r} has an empty segment"
    for segment in segments:
        if segment and segment not in {ONE, ANY} and not _LITERAL.match(segment):
            return f"{path!r} has {segment!r}, which no segment of a template may be"
    if ANY in segments and is_template("/".join(segments[segments.index(ANY) + 1 :])):
        return f"{path!r} has a placeholder after {{**}}, which must be the last one"
    return f"{path[:40]!r}... is longer than {LONGEST} signs" if len(plain(path)) > LONGEST else ""
