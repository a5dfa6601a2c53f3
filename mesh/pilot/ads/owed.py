"""What a client still has to get before resources that it accepted can be used.

Envoy accepts a cluster before it has its endpoints, and a listener before it has its routes; it uses neither
until then. Kept by both ends, so that each question is answered without going through all resources.
"""

from collections.abc import Iterable, Iterator

Name = tuple[str, str]
"""A type and the name of a resource of it."""


class Owed:
    """Resources owed to a client, each with those that wait for it."""

    def __init__(self) -> None:
        self._waiting: dict[Name, set[Name]] = {}
        self._owed_to: dict[Name, set[Name]] = {}
        self._given_up: set[Name] = set()

    def __bool__(self) -> bool:
        return self._waiting.keys() > self._given_up

    def __iter__(self) -> Iterator[Name]:
        return iter(self._waiting)

    def __contains__(self, name: Name) -> bool:
        return name in self._waiting

    def __repr__(self) -> str:
        return f"<Owed {sorted(name for _, name in self._waiting)}>"

    def add(self, owed: Name, waiting: Name) -> None:
        """Note that `waiting` cannot be used until the client has `owed`."""
        self._waiting.setdefault(owed, set()).add(waiting)
        self._owed_to.setdefault(waiting, set()).add(owed)

    def settle(self, type_url: str, names: Iterable[str]) -> None:
        """These are owed no longer: accepted, refused, told to be absent, or not asked for any more."""
        for name in names:
            self._drop((type_url, name))

    def forget_waiting(self, waiting: Name) -> None:
        """Forget what was owed to a resource that is replaced or gone, unless others wait for it too."""
        for owed in self._owed_to.pop(waiting, ()):
            others = self._waiting.get(owed, set())
            others.discard(waiting)
            if not others:
                self._drop(owed)

    def give_up(self) -> None:
        """What is owed now shall block nothing any more; it stays owed."""
        self._given_up.update(self._waiting)

    def names(self, type_url: str) -> set[str]:
        """Names of one type that are owed."""
        return {name for kind, name in self._waiting if kind == type_url}

    def blocks(self, type_url: str) -> bool:
        """Whether anything of a type is owed that was not given up."""
        return any(kind == type_url for kind, _ in self._waiting.keys() - self._given_up)

    def _drop(self, owed: Name) -> None:
        self._given_up.discard(owed)
        for waiting in self._waiting.pop(owed, ()):
            others = self._owed_to.get(waiting, set())
            others.discard(owed)
            if not others:
                self._owed_to.pop(waiting, None)
