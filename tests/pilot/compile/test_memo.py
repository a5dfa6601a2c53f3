"""X3: results are kept for as long as nothing that they read differs, and no longer."""

from collections import Counter

import pytest

from mesh.model import ObjectKey
from mesh.pilot.memo import SWEEP_EVERY, Memo
from mesh.pilot.reader import Reader
from mesh.pilot.snapshot import Key
from tests.pilot.compile.world import DOMAIN, World

pytestmark = pytest.mark.behaviour("X3")

A, B = f"a.default.{DOMAIN}", f"b.default.{DOMAIN}"


class Counted:
    """Queries that count how often they are computed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.memo = Memo(Reader)
        self.computed: Counter[str] = Counter()

    def ports(self, read: Reader, host: str) -> int:
        self.computed[f"ports {host}"] += 1
        found = read.service(host)
        return len(found.ports) if found else 0

    def total(self, read: Reader) -> int:
        self.computed["total"] += 1
        return read.ask(self.ports, A) + read.ask(self.ports, B)

    def fails(self, read: Reader, host: str) -> int:
        self.computed["fails"] += 1
        if read.service(host) is None:
            raise LookupError(host)
        return 1

    def ask(self) -> int:
        found: int = self.memo.value(self.world.snapshot, self.total)
        return found


@pytest.fixture
def counted() -> Counted:
    return Counted(World("- {name: a, addresses: [10.1.0.1], ports: [{number: 80, name: http}]}"))


def add(counted: Counted, name: str, *ports: int) -> None:
    listed = ", ".join(f"{{number: {port}, name: http-{port}}}" for port in ports)
    counted.world.services(f"- {{name: {name}, addresses: [10.1.0.2], ports: [{listed}]}}")


def test_nothing_is_computed_twice(counted: Counted) -> None:
    assert [counted.ask(), counted.ask()] == [1, 1]
    assert counted.computed == {"total": 1, f"ports {A}": 1, f"ports {B}": 1}


def test_a_change_elsewhere_computes_nothing(counted: Counted) -> None:
    counted.ask()
    add(counted, "c", 80)
    counted.ask()
    assert counted.computed.total() == 3


def test_what_was_missing_is_noticed_when_it_comes(counted: Counted) -> None:
    counted.ask()
    add(counted, "b", 80, 81)
    assert counted.ask() == 3
    assert counted.computed == {"total": 2, f"ports {A}": 1, f"ports {B}": 2}


def test_a_change_without_effect_goes_no_further(counted: Counted) -> None:
    add(counted, "b", 80)
    counted.ask()
    add(counted, "b", 81)
    assert counted.ask() == 2
    assert counted.computed == {"total": 1, f"ports {A}": 1, f"ports {B}": 2}


def test_a_change_that_was_skipped_counts(counted: Counted) -> None:
    counted.ask()
    add(counted, "b", 80)
    assert counted.world.snapshot
    add(counted, "c", 80)
    assert counted.ask() == 2


def test_an_older_snapshot_still_has_its_answer(counted: Counted) -> None:
    old = counted.world.snapshot
    counted.ask()
    add(counted, "b", 80)
    assert counted.ask() == 2
    assert counted.memo.value(old, counted.total) == 1
    assert counted.ask() == 2
    add(counted, "b", 80, 81)
    assert counted.ask() == 3
    assert counted.memo.value(old, counted.total) == 1


def test_after_a_gap_too_long_to_tell_everything_is_computed_anew(counted: Counted) -> None:
    counted.ask()
    for number in range(100):
        add(counted, "c", 8000 + number)
        assert counted.world.snapshot
    add(counted, "b", 80)
    assert counted.ask() == 2


def test_a_failure_is_not_kept(counted: Counted) -> None:
    for _ in range(2):
        with pytest.raises(LookupError):
            counted.memo.value(counted.world.snapshot, counted.fails, B)
    add(counted, "b", 80)
    assert counted.memo.value(counted.world.snapshot, counted.fails, B) == 1
    assert counted.computed["fails"] == 3


def test_what_nobody_asks_for_any_more_is_forgotten(counted: Counted) -> None:
    counted.ask()
    counted.memo.value(counted.world.snapshot, counted.fails, A)
    for number in range(2 * SWEEP_EVERY + 2):
        add(counted, "c", 8000 + number)
        counted.ask()
    assert counted.memo.statistics()["remembered"] == 3


def test_a_snapshot_without_differences_is_the_one_before(counted: Counted) -> None:
    first = counted.world.snapshot
    assert counted.world.snapshot is first
    counted.world.remove_rule("Gateway", "never-there")
    assert counted.world.snapshot is first


def test_a_snapshot_says_what_changed(counted: Counted) -> None:
    first = counted.world.snapshot
    add(counted, "b", 80)
    second = counted.world.snapshot
    assert second.changed_since(first.version) == frozenset[Key]({("service", B), ("public", ())})
    assert second.changed_since(second.version) == frozenset()
    assert second.changed_since(0) is None
    assert first.get("service", B) is None
    assert first.get("service", A) is second.get("service", A)


def test_other_settings_of_the_mesh_make_everything_anew(counted: Counted) -> None:
    first = counted.world.snapshot
    counted.world.mesh = counted.world.mesh.model_copy(update={"connect_timeout": 3.0})
    second = counted.world.snapshot
    assert second.version == first.version + 1
    assert second.changed_since(first.version) is None
    assert ObjectKey("Service", "default", "a") == second.get("service", A).origin
