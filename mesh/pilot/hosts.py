"""Host names as rules write them: short names, wildcards, and the names by which callers know a service.

Source: Istio's reference of VirtualService (`hosts`) and its name resolution in Kubernetes.
"""

from collections.abc import Iterable

CLUSTER_DOMAIN = "cluster.local"


def full(host: str, namespace: str) -> str:
    """The fully qualified name of a host in a rule of `namespace`; a name with a dot is taken as it is."""
    if "." in host or host == "*":
        return host.lower()
    return f"{host}.{namespace}.svc.{CLUSTER_DOMAIN}".lower()


def is_wildcard(host: str) -> bool:
    """Whether it stands for many hosts."""
    return host.startswith("*")


def covers(pattern: str, host: str) -> bool:
    """Whether all that `host` means (itself a wildcard, perhaps) is covered by `pattern`.

    >>> covers("*.example.com", "a.example.com"), covers("a.example.com", "*.example.com")
    (True, False)
    """
    if not is_wildcard(pattern):
        return pattern == host
    suffix = pattern[1:]
    return host.removeprefix("*").endswith(suffix) if is_wildcard(host) else host.endswith(suffix)


def most_specific(patterns: Iterable[str], host: str) -> str | None:
    """Of the patterns that cover a host the narrowest: an exact one, else the longest wildcard."""
    found = [pattern for pattern in patterns if covers(pattern, host)]
    return max(found, key=lambda each: (not is_wildcard(each), len(each)), default=None)


def intersection(ours: Iterable[str], theirs: Iterable[str]) -> tuple[str, ...]:
    """What two sets of hosts have in common, the narrower of each pair, in order of `ours`."""
    others = tuple(theirs)
    found: dict[str, None] = {}
    for mine in ours:
        for other in others:
            if covers(other, mine):
                found[mine] = None
            elif covers(mine, other):
                found[other] = None
    return tuple(found)


def names_in(hostname: str, namespace: str) -> tuple[str, ...]:
    """All names by which a proxy in `namespace` may be asked for a service, the full one first.

    >>> names_in("forecast.weather.svc.cluster.local", "weather")[1:]
    ('forecast', 'forecast.weather.svc', 'forecast.weather')
    """
    suffix = f".svc.{CLUSTER_DOMAIN}"
    qualified = hostname.removesuffix(suffix)
    name, dot, home = qualified.partition(".")
    if qualified == hostname or not dot or "." in home or is_wildcard(hostname):
        return (hostname,)
    short = (name,) if home == namespace else ()
    return (hostname, *short, f"{qualified}.svc", qualified)
