"""Labels: an immutable mapping with Kubernetes' equality selection."""

from collections.abc import Iterator, Mapping


class Labels(Mapping[str, str]):
    """Labels of an object, sorted, immutable and hashable.

    >>> Labels({"app": "forecast", "version": "v1"}).matches({"app": "forecast"})
    True
    """

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[str, str] | None = None) -> None:
        self._items: dict[str, str] = dict(sorted((items or {}).items()))
        self._hash = hash(tuple(self._items.items()))

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._items == dict(other)

    def __repr__(self) -> str:
        return f"Labels({self._items!r})"

    def matches(self, selector: Mapping[str, str]) -> bool:
        """Whether every label of `selector` is here with the same value; an empty selector matches all."""
        return all(self._items.get(key) == value for key, value in selector.items())


EMPTY = Labels()
