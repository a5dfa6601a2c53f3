"""S5, X3: precedence of PeerAuthentication, and that a policy reaches only those whom it concerns."""

from typing import Any

import pytest

from mesh.model import Labels, Proxy
from mesh.pilot.types import CDS, EDS, LDS
from tests.pilot.compile.world import DOMAIN, World, gateway, sidecar

pytestmark = pytest.mark.behaviour("S5", "X3")

ISTIO = "security.istio.io/tlsMode: istio"
SERVICES = f"""
- name: a
  namespace: one
  addresses: [10.1.0.1]
  ports: [{{number: 80, name: http}}]
  instances: [{{address: 10.0.0.1, ports: {{80: 8080}}, labels: {{app: a, {ISTIO}}}}}]
- name: b
  namespace: two
  addresses: [10.1.0.2]
  ports: [{{number: 80, name: http}}]
  instances: [{{address: 10.0.0.2, ports: {{80: 8080}}, labels: {{app: b, {ISTIO}}}}}]
- name: headless
  namespace: one
  ports: [{{number: 80, name: http}}]
  instances: [{{address: 10.0.0.1, labels: {{app: a, {ISTIO}}}}}]
"""
ROOT = "istio-system"
A = sidecar("a", "one", "10.0.0.1", labels=Labels({"app": "a"}))
B = sidecar("b", "two", "10.0.0.2", labels=Labels({"app": "b"}))


def policy(namespace: str, mode: str = "", *, selector: str = "", ports: str = "", name: str = "x") -> str:
    spec = [
        f"mtls: {{mode: {mode}}}" if mode else "",
        f"selector: {{matchLabels: {{{selector}}}}}" if selector else "",
        f"portLevelMtls: {{{ports}}}" if ports else "",
    ]
    return (
        "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{{', '.join(filter(None, spec))}}}\n"
    )


def mode(found: World, proxy: Proxy = A, port: int = 8080) -> str:
    """What a port takes, as its chains tell."""
    every = found.listener(proxy, "virtualInbound")["filter_chains"]
    chains = [each for each in every if each.get("filter_chain_match", {}).get("destination_port") == port]
    kinds = {
        (each["filter_chain_match"].get("transport_protocol"), "transport_socket" in each) for each in chains
    }
    names = {
        frozenset({("tls", True)}): "STRICT",
        frozenset({("tls", True), ("raw_buffer", False)}): "PERMISSIVE",
        frozenset({(None, False)}): "DISABLE",
    }
    return names[frozenset(kinds)]


SELECTED = "app: a"


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        pytest.param((), "PERMISSIVE", id="none"),
        pytest.param((policy(ROOT, "STRICT"),), "STRICT", id="mesh"),
        pytest.param((policy("two", "STRICT"),), "PERMISSIVE", id="another-namespace"),
        pytest.param((policy(ROOT, "STRICT"), policy("one", "DISABLE")), "DISABLE", id="namespace"),
        pytest.param((policy(ROOT, "STRICT"), policy("one", "UNSET")), "STRICT", id="unset-inherits"),
        pytest.param((policy(ROOT, "STRICT"), policy("one")), "STRICT", id="nothing-said-inherits"),
        pytest.param(
            (policy("one", "STRICT"), policy("one", "DISABLE", selector=SELECTED, name="y")),
            "DISABLE",
            id="workload",
        ),
        pytest.param(
            (policy("one", "STRICT"), policy("one", "DISABLE", selector="app: other", name="y")),
            "STRICT",
            id="another-workload",
        ),
        pytest.param(
            (policy(ROOT, "STRICT"), policy(ROOT, "DISABLE", selector=SELECTED, name="y")),
            "STRICT",
            id="a-selector-in-the-root-namespace-counts-not",
        ),
        pytest.param(
            (policy("one", "STRICT", selector=SELECTED, ports="8080: {mode: DISABLE}"),), "DISABLE", id="port"
        ),
        pytest.param(
            (policy("one", "STRICT", selector=SELECTED, ports="8080: {mode: UNSET}"),),
            "STRICT",
            id="port-unset",
        ),
        pytest.param(
            (policy("one", "STRICT", selector=SELECTED, ports="80: {mode: DISABLE}"),),
            "STRICT",
            id="ports-are-the-workloads",
        ),
    ],
)
def test_precedence(policies: tuple[str, ...], expected: str) -> None:
    assert mode(World(SERVICES, "".join(policies))) == expected


def test_the_oldest_of_a_level_counts() -> None:
    text = policy("one", "STRICT", name="young") + policy("one", "DISABLE", name="old")
    young, old = (
        part.replace("metadata: {", f"metadata: {{creationTimestamp: '{at}', ")
        for part, at in zip(
            text.split("---\n")[1:], ("2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"), strict=True
        )
    )
    assert mode(World(SERVICES, f"{young}---\n{old}")) == "DISABLE"


def secure(found: World, name: str = f"outbound|80||a.one.{DOMAIN}") -> bool:
    """Whether callers may use mutual TLS with the one endpoint."""
    (group,) = found.endpoints(gateway(), name)["endpoints"]
    (endpoint,) = group["lb_endpoints"]
    return "envoy.transport_socket_match" in endpoint["metadata"]["filter_metadata"]


def test_callers_follow_the_policies_of_the_called() -> None:
    found = World(SERVICES)
    assert secure(found)
    found.rules(policy("one", selector=SELECTED, ports="8080: {mode: DISABLE}"))
    assert not secure(found), "this port of the workload takes no mutual TLS"
    found.rules(policy("one", selector=SELECTED, ports="8081: {mode: DISABLE}"))
    assert secure(found)
    found.rules(policy("one", "DISABLE"))
    assert not secure(found)
    found.rules(policy("one", "STRICT", selector=SELECTED, name="y"))
    assert secure(found), "the workload's own policy counts"


def test_where_the_caller_chooses_the_address_all_instances_must_take_it() -> None:
    found = World(SERVICES)
    name = f"outbound|80||headless.one.{DOMAIN}"
    assert "transport_socket" in found.cluster(gateway(), name)
    found.services("""
    - name: headless
      namespace: one
      ports: [{number: 80, name: http}]
      instances: [{address: 10.0.0.1, labels: {security.istio.io/tlsMode: istio}}, {address: 10.0.0.7}]
    """)
    assert "transport_socket" not in found.cluster(gateway(), name)


def identities(found: World) -> list[str]:
    match = found.cluster(gateway(), f"outbound|80||a.one.{DOMAIN}")["transport_socket_matches"][0]
    context = match["transport_socket"]["typed_config"]["common_tls_context"]["combined_validation_context"]
    names = context["default_validation_context"]["match_typed_subject_alt_names"]
    return [each["matcher"]["exact"] for each in names]


@pytest.mark.behaviour("S3")
def test_servers_must_have_an_account_of_the_instances() -> None:
    found = World(SERVICES)
    assert identities(found) == ["spiffe://cluster.local/ns/one/sa/default"]
    found.services(f"""
    - name: a
      namespace: one
      addresses: [10.1.0.1]
      ports: [{{number: 80, name: http}}]
      instances:
        - {{address: 10.0.0.1, ports: {{80: 8080}}, labels: {{app: a, {ISTIO}}}, serviceAccount: first}}
        - {{address: 10.0.0.8, ports: {{80: 8080}}, labels: {{app: a, {ISTIO}}}, serviceAccount: second}}
    """)
    assert identities(found) == [
        "spiffe://cluster.local/ns/one/sa/first",
        "spiffe://cluster.local/ns/one/sa/second",
    ]


def everything(found: World, proxy: Proxy) -> tuple[Any, ...]:
    full = tuple(found.all(proxy, kind) for kind in (LDS, CDS))
    names = [name for each in full[1].values() for kind, name in each.waits_for if kind == EDS]
    return *full, found.named(proxy, EDS, *sorted(names))


def test_a_policy_of_one_namespace_compiles_nothing_elsewhere() -> None:
    found = World(SERVICES)
    before = everything(found, B)
    found.snapshot  # noqa: B018
    compiled = found.compiler.statistics()["compiled"]
    found.rules(policy("one", "STRICT", selector="app: nobody"))
    after = everything(found, B)
    assert all(one is two for one, two in zip(before, after, strict=True))
    spent = found.compiler.statistics()["compiled"] - compiled
    found.rules(policy("one", "STRICT"))
    assert all(one is two for one, two in zip(before, everything(found, B), strict=True))
    assert spent < 15, "only what reads that namespace's policies is looked at again"


def test_equal_workloads_share_their_listener() -> None:
    found = World(SERVICES, policy("one", "STRICT", selector=SELECTED))
    first = sidecar("a1", "one", "10.0.0.1", labels=Labels({"app": "a", "pod-template-hash": "1"}))
    second = sidecar("a2", "one", "10.0.0.1", labels=Labels({"app": "a", "pod-template-hash": "2"}))
    assert found.all(first, LDS) is found.all(second, LDS)


def test_another_instance_changes_no_cluster() -> None:
    found = World(SERVICES)
    before = found.all(B, CDS)
    found.services(f"""
    - name: a
      namespace: one
      addresses: [10.1.0.1]
      ports: [{{number: 80, name: http}}]
      instances:
        - {{address: 10.0.0.1, ports: {{80: 8080}}, labels: {{app: a, {ISTIO}}}}}
        - {{address: 10.0.0.8, ports: {{80: 8080}}, labels: {{app: a, {ISTIO}}}}}
    """)
    assert found.all(B, CDS) is before


@pytest.mark.behaviour("S3")
def test_identities_of_other_trust_domains() -> None:
    from mesh.api.meshconfig import MeshConfig

    found = World(SERVICES, mesh=MeshConfig(trust_domain="new", trust_domain_aliases=("old",)))
    assert identities(found) == ["spiffe://new/ns/one/sa/default", "spiffe://old/ns/one/sa/default"]
    chain = next(
        each for each in found.listener(A, "virtualInbound")["filter_chains"] if "transport_socket" in each
    )
    context = chain["transport_socket"]["typed_config"]["common_tls_context"]["combined_validation_context"]
    names = context["default_validation_context"]["match_typed_subject_alt_names"]
    assert [each["matcher"]["prefix"] for each in names] == ["spiffe://new/", "spiffe://old/"]
