"""S7: which workloads a policy is for."""

from typing import Any

import pytest

from tests.pilot.authz.calls import Workload
from tests.pilot.authz.compiled import Compiled

pytestmark = pytest.mark.behaviour("S7")

GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}
EDGE = {"gateway.networking.k8s.io/gateway-name": "edge"}


def guarded(namespace: str, labels: dict[str, str], spec: dict[str, Any], *, home: str = "weather") -> bool:
    """Whether a policy in `home` guards a workload."""
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "one", "namespace": home},
        "spec": {"action": "DENY", "rules": [{}], **spec},
    }
    return bool(Compiled([policy]).http(Workload(namespace, labels, "10.0.0.1", (80,))))


@pytest.mark.parametrize(
    ("home", "namespace", "labels", "spec", "expected"),
    [
        ("weather", "weather", {}, {}, True),
        ("weather", "other", {}, {}, False),
        ("istio-system", "other", {}, {}, True),
        ("weather", "weather", {"app": "a"}, {"selector": {"matchLabels": {"app": "a"}}}, True),
        ("weather", "weather", {"app": "b"}, {"selector": {"matchLabels": {"app": "a"}}}, False),
        ("istio-system", "other", {"app": "a"}, {"selector": {"matchLabels": {"app": "a"}}}, True),
        ("weather", "weather", {}, {"selector": {}}, True),
        ("weather", "weather", EDGE, {"targetRefs": [GATEWAY]}, True),
        ("weather", "weather", {}, {"targetRefs": [GATEWAY]}, False),
        ("weather", "weather", EDGE, {"targetRef": GATEWAY}, True),
        ("weather", "weather", {}, {"targetRef": GATEWAY}, False),
        ("weather", "other", EDGE, {"targetRefs": [GATEWAY]}, False),
        ("weather", "weather", {}, {"targetRefs": [{"kind": "Service", "name": "a"}]}, False),
    ],
)
def test_which_workloads_a_policy_is_for(
    home: str, namespace: str, labels: dict[str, str], spec: dict[str, Any], expected: bool
) -> None:
    assert guarded(namespace, labels, spec, home=home) is expected
