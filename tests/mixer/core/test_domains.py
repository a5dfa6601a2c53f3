"""Proxies of the mesh's trust domain and of its aliases are let in, as the mesh's settings say now."""

from pathlib import Path

import pytest

from mesh.mixer.domains import POLL, Domains

pytestmark = pytest.mark.behaviour("P1")


def test_without_settings_there_is_one_domain() -> None:
    assert Domains("cluster.local")() == ("cluster.local",)


def test_aliases_are_followed_and_what_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    path, now = tmp_path / "mesh", 100.0
    domains = Domains("cluster.local", path, monotonic=lambda: now)
    assert domains() == ("cluster.local",)
    path.write_text("trustDomain: new.mesh\ntrustDomainAliases: [cluster.local, old.mesh]\n")
    assert domains() == ("cluster.local",)
    now += POLL
    assert domains() == ("cluster.local", "new.mesh", "old.mesh")
    path.write_text("trustDomainAliases: 7\n")
    now += POLL
    assert domains() == ("cluster.local", "new.mesh", "old.mesh")
    path.write_text("trustDomain: cluster.local\n")
    now += POLL
    assert domains() == ("cluster.local",)
