"""What was revoked: the entries of the ConfigMap istio-revocations, and what follows from them.

`meshctl cert revoke` writes an entry; one of an identity is completed by Citadel with the serial numbers of
all its certificates at that moment, so that nobody's clock decides which ones are meant.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from cryptography import x509

from mesh.citadel.ledger import Ledger
from mesh.pki.spiffe import Identity

NAME = "istio-revocations"
REASONS = tuple(flag.value for flag in x509.ReasonFlags if flag.value != "removeFromCRL")

log = structlog.get_logger(component="citadel")


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry. `serials` is None until Citadel has found which certificates an identity has."""

    key: str
    identity: str
    serials: tuple[int, ...] | None
    reason: str
    time: datetime
    deny: bool

    @classmethod
    def parse(cls, key: str, text: str) -> "Revocation":
        """Read an entry; `ValueError` says what is wrong with it."""
        try:
            value = json.loads(text)
            identity = str(value.get("identity") or "")
            listed = value.get("serials")
            serials = None if listed is None else tuple(_serial(each) for each in listed)
            time = _moment(value["time"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"entry {key!r} of ConfigMap {NAME}: {type(error).__name__}: {error}") from None
        if identity:
            Identity.parse(identity)
        elif not serials:
            raise ValueError(f"entry {key!r} of ConfigMap {NAME} names neither identity nor serials")
        reason = str(value.get("reason") or "unspecified")
        return cls(key, identity, serials, reason, time, bool(value.get("deny")))

    def text(self) -> str:
        """As kept: JSON."""
        value = {
            "identity": self.identity,
            "serials": None if self.serials is None else [f"{each:x}" for each in self.serials],
            "reason": self.reason,
            "time": self.time.isoformat(),
            "deny": self.deny,
        }
        return json.dumps({name: each for name, each in value.items() if each not in ("", None)})

    @property
    def flag(self) -> str:
        """The reason as a CRL has it."""
        return self.reason if self.reason in REASONS else "unspecified"


def _serial(text: Any) -> int:
    """A serial number that a CRL can have (X.509: positive, at most 20 bytes)."""
    number = int(text, 16)
    if not 0 < number < 2**159:
        raise ValueError(f"{text!r} is no serial number")
    return number


def _moment(text: Any) -> datetime:
    """A moment with its zone, in a year that can be reckoned with."""
    found = datetime.fromisoformat(text)
    if not 1970 < found.year < 9000:
        raise ValueError(f"{text!r} is no moment of this mesh")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Revocations:
    """All entries, and what they mean together with the ledger."""

    def __init__(self, ledger: Ledger, longest: timedelta) -> None:
        self._ledger = ledger
        self._longest = longest
        self.entries: dict[str, Revocation] = {}
        self.denied: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<Revocations: {len(self.entries)} entries, {len(self.denied)} identities denied>"

    def read(self, data: Mapping[str, str]) -> None:
        """Take the ConfigMap's data as it is now; what cannot be read is logged and left out."""
        entries = {}
        for key, text in data.items():
            try:
                entries[key] = Revocation.parse(key, text)
            except ValueError as error:
                log.warning("left out", error=str(error))
        self.entries = entries
        self.denied = frozenset(each.identity for each in entries.values() if each.deny and each.identity)

    def completed(self) -> Iterator[Revocation]:
        """Entries of identities that have no serial numbers yet, with those of all certificates known now."""
        for entry in self.entries.values():
            if entry.serials is None:
                lines = self._ledger.of(entry.identity)
                yield replace(entry, serials=tuple(sorted(int(line.serial, 16) for line in lines)))

    def complete(self, entries: Iterable[Revocation]) -> None:
        """Put completed entries in the place of those they came from."""
        self.entries |= {entry.key: entry for entry in entries}

    def serials(self) -> dict[int, str]:
        """Every revoked serial number with its reason."""
        return {
            serial: entry.flag
            for entry in sorted(self.entries.values(), key=lambda entry: entry.time)
            for serial in entry.serials or ()
        }

    def live(self, now: datetime) -> set[int]:
        """Those of them that a certificate may still have which has not expired."""
        return {
            serial
            for entry in self.entries.values()
            for serial in entry.serials or ()
            if self._ends(serial, entry.time) > now
        }

    def _ends(self, serial: int, revoked: datetime) -> datetime:
        line = self._ledger.get(f"{serial:x}")
        return line.ends if line else revoked + self._longest
