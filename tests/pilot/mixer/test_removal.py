"""Headers that rules take out of responses: the script stands after the question."""

import pytest

from mesh.rules.removal import SCRIPT
from tests.pilot.mixer.mixed import CALLING, Mixed, deny, forecast

pytestmark = pytest.mark.behaviour("P4")
CHECK, REMOVAL = "meshwright.mixer.check", "meshwright.mixer.removal"


def test_it_is_there_when_a_rule_removes() -> None:
    objects = deny(match=CALLING)
    objects[-1]["spec"]["responseHeaderOperations"] = [{"name": "server", "operation": "REMOVE"}]
    filters = Mixed(*objects).filters(forecast())
    assert list(filters) == [CHECK, REMOVAL]
    assert filters[REMOVAL]["default_source_code"]["inline_string"] == SCRIPT


def test_it_is_not_there_for_other_operations() -> None:
    objects = deny(match=CALLING)
    objects[-1]["spec"]["responseHeaderOperations"] = [{"name": "x-checked", "values": ['"yes"']}]
    assert list(Mixed(*objects).filters(forecast())) == [CHECK]
