"""Large sets of names in parts, so that a change of one makes only its part be gone through again."""

from zlib import crc32

from mesh.pilot.reader import Reader

SIZE = 64
"""How many names a part has, about."""


def parted(read: Reader, names: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """The names in parts, each in order. A name stays in its part while their number is about the same."""
    del read
    count = 1 << (len(names) // SIZE).bit_length()
    parts: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(names):
        parts[crc32(name.encode()) % count].append(name)
    return tuple(tuple(part) for part in parts if part)
