"""Identities of other trust domains that count as ours.

Source: Istio, "Trust Domain Migration". A principal of the mesh's trust domain, of one of its aliases, or of
`cluster.local`, which stands for whatever the mesh's is, is meant in all of them.
"""

from collections.abc import Iterable, Iterator

STANDARD = "cluster.local"
PARTS = 5  # trust domain, "ns", namespace, "sa", service account


def expanded(principals: Iterable[str], domains: tuple[str, ...]) -> tuple[str, ...]:
    """The principals of a policy, in all of the mesh's trust domains; each once, in order.

    >>> expanded(["old/ns/a/sa/b"], ("new", "old"))
    ('new/ns/a/sa/b', 'old/ns/a/sa/b')
    """
    return tuple(dict.fromkeys(each for one in principals for each in migrated(one, domains)))


def migrated(principal: str, domains: tuple[str, ...]) -> Iterator[str]:
    """What one principal means. One that names no whole identity, or any domain, stays as it is."""
    domain, *rest = principal.split("/")
    meant = domain == STANDARD or any(names(domain, each) for each in domains)
    if len(rest) != PARTS - 1 or domain == "*" or not meant:
        yield principal
        return
    for each in domains:
        yield principal if names(domain, each) else "/".join((each, *rest))


def names(domain: str, ours: str) -> bool:
    """Whether a principal's trust domain, perhaps with a wildcard in front, is one of ours."""
    return ours.endswith(domain[1:]) if domain.startswith("*") else domain == ours
