"""Lists of texts, addresses or regular expressions, made ready to look things up in."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from mesh.api.base import regex

Has = Callable[[str], bool]
"""Whether a value is on a list; raises ValueError for a value that cannot be (no address)."""


class Kind(StrEnum):
    """What the entries of a list are."""

    STRINGS = "STRINGS"
    CASE_INSENSITIVE_STRINGS = "CASE_INSENSITIVE_STRINGS"
    IP_ADDRESSES = "IP_ADDRESSES"
    REGEX = "REGEX"


def made(kind: Kind, entries: Iterable[str]) -> Has:
    """Make a list ready; raises ValueError naming the first entry that is wrong."""
    match kind:
        case Kind.STRINGS:
            return frozenset(entries).__contains__
        case Kind.CASE_INSENSITIVE_STRINGS:
            return in_any_case(entries)
        case Kind.IP_ADDRESSES:
            return Blocks(entries).has
        case Kind.REGEX:
            return found_by(entries)


def in_any_case(entries: Iterable[str]) -> Has:
    """A list that does not tell `a` from `A`; as in Envoy, letters beyond ASCII are what they are."""
    known = frozenset(map(folded, entries))
    return lambda value: folded(value) in known


def folded(value: str) -> bytes:
    """A text in small ASCII letters."""
    return value.encode(errors="surrogatepass").lower()


def found_by(patterns: Iterable[str]) -> Has:
    """A list of regular expressions of RE2, any of which may be found anywhere in the value."""
    import re2

    searches = [re2.compile(regex(each)).search for each in patterns]
    return lambda value: any(search(value) for search in searches)


class Blocks:
    """Addresses and blocks of them. They are kept by length, so that many cost no more than a few."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._by_length: dict[tuple[int, int], set[int]] = {}
        for entry in entries:
            version, shift, block = parsed(entry)
            self._by_length.setdefault((version, shift), set()).add(block)

    def __repr__(self) -> str:
        return f"<Blocks: {sum(map(len, self._by_length.values()))}>"

    def has(self, value: str) -> bool:
        """Whether an address is in a block; raises ValueError if the value is none."""
        address = plain(ip_address(value))
        number, version = int(address), address.version
        return any(
            number >> shift in blocks for (each, shift), blocks in self._by_length.items() if each == version
        )


def parsed(entry: str) -> tuple[int, int, int]:
    """A block: IP version, how many bits are free, and the others. Raises ValueError."""
    try:
        block = ip_network(entry.strip(), strict=False)
    except ValueError:
        raise ValueError(
            f"{entry!r} is no IP address or block; write such as 10.0.0.1 or 10.0.0.0/8"
        ) from None
    first, free = block.network_address, block.max_prefixlen - block.prefixlen
    if isinstance(block, IPv6Network) and free <= 32:
        first = plain(block.network_address)
    return first.version, free, int(first) >> free


def plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that is written as one of IPv6, as itself."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def lines(text: str) -> list[str]:
    """The entries of a list that is a text: one a line, empty lines left out."""
    return [line for each in text.splitlines() if (line := each.strip())]
