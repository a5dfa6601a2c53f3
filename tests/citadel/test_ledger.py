"""S1: what the ledger keeps can be read again, and says the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.citadel.authority import Authority
from mesh.citadel.kube import Kube
from mesh.citadel.ledger import Ledger, Line
from mesh.citadel.metrics import Metrics
from mesh.citadel.upkeep import Upkeep
from tests.citadel.rig import DOMAIN, settings_for

pytestmark = pytest.mark.behaviour("S1")

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, MOMENTS)
def test_a_line_reads_as_it_was_written(issued: datetime, ends: datetime) -> None:
    line = Line("ab12", f"spiffe://{DOMAIN}/ns/default/sa/forecast", "an authority", issued, ends)
    assert Line.parse(line.serial, line.text()) == line


def root_of(now: datetime) -> Authority:
    day = timedelta(days=1)
    return Authority.self_signed(DOMAIN, now=now, lifetime=day, skew=timedelta(0), algorithm="ecdsa-p256")


@pytest.mark.parametrize("first", ["aa", "bb"])
def test_a_rotation_within_a_second_is_seen_in_lines_that_were_read(first: str) -> None:
    """Citadel's own certificates of both authorities may be of one second; the later one counts."""
    now = datetime.now(UTC)
    old, new = root_of(now), root_of(now)
    settings = settings_for("istio-system")
    mine = f"spiffe://{DOMAIN}/ns/istio-system/sa/{next(iter(settings.services))}"
    serials = (first, "bb" if first == "aa" else "aa")
    ends = now + timedelta(hours=1)
    begin = now.replace(microsecond=200_000)
    lines = [
        Line(serials[0], mine, old.id, begin, ends),
        Line(serials[1], mine, new.id, begin + timedelta(milliseconds=300), ends),
    ]
    ledger = Ledger(Kube(None), "istio-system")
    kept: dict[str, Any] = {line.serial: line.text() for line in lines}
    ledger.read({"metadata": {"name": "istio-ledger-1"}, "data": kept})
    upkeep = Upkeep(ledger, Metrics(), lambda: now)
    assert list(upkeep.behind(settings, new)) == []
    assert len(list(upkeep.behind(settings, old))) == 1
