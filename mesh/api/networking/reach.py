"""Routes that no request can reach, because one above takes all that they match.

Told as warnings, and only where it is certain: every alternative of the lower route is covered by one of a
single route above.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mesh.api.checks import Fault

if TYPE_CHECKING:
    from mesh.api.networking.matches import HeaderMatch, HTTPMatchRequest, StringMatch
    from mesh.api.networking.routes import HTTPRoute

MOST = 200  # routes that are compared with those above; the time grows by the square
PLAIN = ("scheme", "method", "authority")
MAPPED = ("headers", "without_headers", "query_params")


def unreachable(routes: "Sequence[HTTPRoute]") -> Iterator[Fault]:
    """The routes that no request can reach."""
    for index, route in enumerate(routes[:MOST]):
        above = next((n for n in range(index) if covers(routes[n], route)), None)
        if above is not None:
            name = f" ({routes[above].name!r})" if routes[above].name else ""
            message = f"is never reached: http[{above}]{name} takes all that it matches"
            yield Fault(f"http[{index}]", message, "put the more special route first")


def covers(above: "HTTPRoute", below: "HTTPRoute") -> bool:
    """Whether a route takes everything that one below it matches."""
    if not above.match:
        return True
    return bool(below.match) and all(any(wider(one, other) for one in above.match) for other in below.match)


def wider(one: "HTTPMatchRequest", other: "HTTPMatchRequest") -> bool:
    """Whether the first matches every request that the second matches."""
    return (
        wider_uri(one, other)
        and all(wider_text(getattr(one, name), getattr(other, name)) for name in PLAIN)
        and all(covers_all(getattr(one, name), getattr(other, name)) for name in MAPPED)
        and one.source_labels.items() <= other.source_labels.items()
        and one.port in (None, other.port)
        and one.source_namespace in ("", other.source_namespace)
        and (not one.gateways or (bool(other.gateways) and set(other.gateways) <= set(one.gateways)))
    )


def wider_uri(one: "HTTPMatchRequest", other: "HTTPMatchRequest") -> bool:
    """The same of the path, where case may not matter."""
    if one.uri is None or (one.uri.prefix == "/" and other.uri is not None):
        return True
    if other.uri is None or (other.ignore_uri_case and not one.ignore_uri_case):
        return False
    fold = one.ignore_uri_case
    return wider_text(one.uri, other.uri, fold=fold)


def wider_text(one: "StringMatch | None", other: "StringMatch | None", *, fold: bool = False) -> bool:
    """Whether a condition holds whenever another does."""
    if one is None:
        return True
    if other is None:
        return False
    if one.prefix is not None and other.regex is None:
        return cased(other.exact or other.prefix or "", fold=fold).startswith(cased(one.prefix, fold=fold))
    if one.exact is not None and other.exact is not None:
        return cased(one.exact, fold=fold) == cased(other.exact, fold=fold)
    return one == other


def cased(text: str, *, fold: bool) -> str:
    """The text, in lower case if case does not matter."""
    return text.lower() if fold else text


def covers_all(one: "dict[str, HeaderMatch]", other: "dict[str, HeaderMatch]") -> bool:
    """Whether every condition of the first stands in the second as well."""
    return all(name in other and other[name] == condition for name, condition in one.items())


def overlapping(places: Iterable[tuple[str, str]]) -> Iterator[Fault]:
    """Hosts that stand in several places: (path, host)."""
    seen: dict[str, str] = {}
    for path, name in places:
        if name in seen:
            yield Fault(path, f"{name!r} is served by {seen[name]} already", "leave one out")
        seen.setdefault(name, path)
