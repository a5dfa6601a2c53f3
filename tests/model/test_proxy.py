"""X1: what a node id says."""

import pytest

from mesh.model import Labels, Locality, Proxy, ProxyKind

pytestmark = pytest.mark.behaviour("X1")


def test_a_node_id_and_its_metadata_make_a_proxy() -> None:
    metadata = {"NAMESPACE": "weather", "LABELS": {"app": "frontend"}, "SERVICE_ACCOUNT": "frontend"}
    proxy = Proxy.parse("sidecar~198.18.0.7~frontend-1.weather~weather.svc.cluster.local", metadata)
    assert (proxy.kind, proxy.address, proxy.id) == (ProxyKind.SIDECAR, "198.18.0.7", "frontend-1.weather")
    assert proxy.labels == Labels({"app": "frontend"})
    assert proxy.node_id == "sidecar~198.18.0.7~frontend-1.weather~weather.svc.cluster.local"


@pytest.mark.parametrize(
    ("node_id", "complaint"),
    [
        ("frontend", "expected kind~address~name.namespace~domain"),
        ("sidecar~1.2.3.4~frontend~d", "name.namespace"),
        ("lamp~1.2.3.4~a.b~d", "not one of sidecar, router"),
    ],
)
def test_a_wrong_node_id_is_refused_with_what_is_wrong(node_id: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Proxy.parse(node_id)


def test_localities_are_read_with_slashes_and_dots() -> None:
    assert Locality.parse("r/z/s") == Locality.parse("r.z.s") == Locality("r", "z", "s")
    assert str(Locality("r", "z")) == "r/z"
