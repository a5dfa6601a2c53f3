"""W5, W9: all that the proxies of the demo get, as it is kept in `golden/`, for people to read.

After a change that is meant, `UPDATE_GOLDEN=1 pytest tests/pilot/compile/test_golden.py` writes them anew;
the difference is then part of the review.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.model import Proxy
from mesh.pilot.types import CDS, EDS, LDS, RDS
from tests.pilot.compile.world import World, gateway, plain, sidecar

pytestmark = pytest.mark.behaviour("W5", "W9")

GOLDEN = Path(__file__).parent / "golden"
RULES = Path(__file__).parents[3] / "fixtures" / "weather" / "rules"
SHORT = {LDS: "listeners", RDS: "routes", CDS: "clusters", EDS: "endpoints"}


def demo() -> World:
    """The demo's services under its gateway, its versions and the canary's rule."""
    names = ("gateway.yaml", "versions.yaml", "canary-90-10.yaml")
    return World(rules="\n---\n".join((RULES / name).read_text() for name in names))


def readable(proxy: Proxy) -> str:
    """All resources of a proxy by kind and name."""
    found: dict[str, dict[str, Any]] = {}
    for (kind, name), resource in sorted(demo().everything(proxy).items()):
        found.setdefault(SHORT[kind], {})[name] = plain(resource)
    return yaml.safe_dump(found, sort_keys=True, width=110)


@pytest.mark.parametrize(
    ("name", "proxy"), [("frontend", sidecar()), ("ingressgateway", gateway())], ids=["frontend", "gateway"]
)
def test_the_demo(name: str, proxy: Proxy) -> None:
    path = GOLDEN / f"{name}.yaml"
    text = readable(proxy)
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
