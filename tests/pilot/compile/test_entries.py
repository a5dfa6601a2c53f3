"""T7: ServiceEntries become clusters, listeners and routes; TLS begins at a sidecar or the egress gateway."""

from pathlib import Path
from typing import Any

import pytest

from mesh.api.meshconfig import MeshConfig, OutboundTrafficPolicy
from mesh.model import Labels
from mesh.pilot.problems import problems
from mesh.pilot.types import CDS, EDS, LDS
from tests.pilot.compile.test_envoy import bootstrap, judged
from tests.pilot.compile.world import DOMAIN, World, contains, gateway, sidecar

pytestmark = pytest.mark.behaviour("T7")

WEATHER = """
- name: frontend
  namespace: weather
  addresses: [10.1.0.1]
  ports: [{number: 3000, name: http}]
  instances: [{address: 10.0.0.1, labels: {app: frontend, security.istio.io/tlsMode: istio}}]
- name: istio-egressgateway
  namespace: istio-system
  addresses: [10.1.0.8]
  ports: [{number: 80, name: http2}, {number: 443, name: https}]
  instances: [{address: 10.0.0.8, ports: {80: 8080, 443: 8443}, labels: {istio: egressgateway}}]
"""
EGRESS = gateway("10.0.0.8", istio="egressgateway")


def entry(spec: str, name: str = "outside", namespace: str = "weather") -> str:
    return f"---\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"


def world(*rules: str, mesh: MeshConfig | None = None) -> World:
    return World(WEATHER, "\n".join(rules), mesh)


HTTP = "{number: 80, name: http, protocol: HTTP, targetPort: 8080}"
TLS = "{number: 443, name: tls, protocol: TLS}"
TCP = "{number: 9000, name: tcp, protocol: TCP}"


def chains(found: World, name: str) -> list[Any]:
    return [
        (each.get("filter_chain_match", {}), each["filters"][-1]["typed_config"].get("cluster"))
        for each in found.listener(sidecar(), name)["filter_chains"]
    ]


def hosts(assignment: Any) -> list[tuple[str, int]]:
    sockets = (
        each["endpoint"]["address"]["socket_address"]
        for place in assignment["endpoints"]
        for each in place["lb_endpoints"]
    )
    return [(each["address"], each["port_value"]) for each in sockets]


@pytest.mark.parametrize(
    ("resolution", "kind"),
    [("DNS", "STRICT_DNS"), ("DNS_ROUND_ROBIN", "LOGICAL_DNS"), ("NONE", "ORIGINAL_DST")],
)
def test_names_are_looked_up_by_envoy(resolution: str, kind: str) -> None:
    found = world(entry(f"{{hosts: [a.example], ports: [{HTTP}], resolution: {resolution}}}"))
    cluster = found.cluster(sidecar(), "outbound|80||a.example")
    assert cluster["type"] == kind
    if resolution != "NONE":
        assert hosts(cluster["load_assignment"]) == [("a.example", 8080)]
    assert "transport_socket_matches" not in cluster, "outside the mesh nobody has its certificates"


def test_named_endpoints() -> None:
    endpoints = "[{address: 192.0.2.1, ports: {http: 81}}, {address: 192.0.2.2, weight: 3}]"
    found = world(
        entry(f"{{hosts: [a.example], ports: [{HTTP}], resolution: STATIC, endpoints: {endpoints}}}")
    )
    name = "outbound|80||a.example"
    assert found.cluster(sidecar(), name)["type"] == "EDS"
    assignment = found.endpoints(sidecar(), name)
    assert hosts(assignment) == [("192.0.2.1", 81), ("192.0.2.2", 8080)]
    assert assignment["endpoints"][0]["load_balancing_weight"] == 4


def test_requests_are_routed_by_host() -> None:
    found = world(entry(f"{{hosts: [a.example, '*.b.example'], ports: [{HTTP}], resolution: NONE}}"))
    every = found.routes(sidecar(), "80")["virtual_hosts"]
    domains = {each["name"]: each["domains"] for each in every}
    assert domains["a.example:80"] == ["a.example"]
    assert domains["*.b.example:80"] == ["*.b.example"]


def test_tls_without_addresses_is_told_by_name() -> None:
    found = world(
        entry(f"{{hosts: [a.example], ports: [{TLS}], resolution: DNS}}", "a"),
        entry(f"{{hosts: ['*.b.example'], ports: [{TLS}], resolution: NONE}}", "b"),
    )
    assert chains(found, "0.0.0.0_443") == [
        ({"server_names": ["*.b.example"], "transport_protocol": "tls"}, "outbound|443||*.b.example"),
        ({"server_names": ["a.example"], "transport_protocol": "tls"}, "outbound|443||a.example"),
        ({}, "PassthroughCluster"),
    ]


def test_what_nobody_knows_goes_nowhere_if_the_mesh_says_so() -> None:
    mesh = MeshConfig(outbound_traffic_policy=OutboundTrafficPolicy(mode="REGISTRY_ONLY"))
    found = world(entry(f"{{hosts: [a.example], ports: [{TLS}], resolution: DNS}}"), mesh=mesh)
    assert chains(found, "0.0.0.0_443")[-1] == ({}, "BlackHoleCluster")


def test_tcp_by_address_range_and_anywhere() -> None:
    found = world(
        entry(f"{{hosts: [a.example], addresses: [192.0.2.1], ports: [{TCP}], resolution: STATIC}}", "a"),
        entry(f"{{hosts: [b.example], addresses: [198.51.100.0/24], ports: [{TCP}], resolution: NONE}}", "b"),
        entry(f"{{hosts: [c.example], ports: [{TCP}], resolution: DNS}}", "c"),
    )
    assert chains(found, "192.0.2.1_9000") == [({}, "outbound|9000||a.example")]
    assert chains(found, "0.0.0.0_9000") == [
        (
            {"prefix_ranges": [{"address_prefix": "198.51.100.0", "prefix_len": 24}]},
            "outbound|9000||b.example",
        ),
        ({}, "outbound|9000||c.example"),
    ]


def test_hosts_that_share_an_address() -> None:
    found = world(
        entry(f"{{hosts: [a.example, b.example], addresses: [192.0.2.1], ports: [{TLS}], resolution: DNS}}")
    )
    assert [match.get("server_names") for match, _ in chains(found, "192.0.2.1_443")] == [
        ["a.example"],
        ["b.example"],
        None,
    ]


def selecting(app: str) -> str:
    """A ServiceEntry for the workloads of an app."""
    return entry(
        f"{{hosts: [a.example], ports: [{TCP}], location: MESH_INTERNAL, resolution: STATIC, "
        f"workloadSelector: {{labels: {{app: {app}}}}}}}"
    )


def test_workloads_of_the_mesh_are_selected() -> None:
    found = world(selecting("frontend"))
    name = "outbound|9000||a.example"
    assignment = found.endpoints(sidecar(), name)
    assert hosts(assignment) == [("10.0.0.1", 9000)]
    matched = assignment["endpoints"][0]["lb_endpoints"][0]["metadata"]["filter_metadata"]
    assert matched["envoy.transport_socket_match"] == {"tlsMode": "istio"}
    assert "transport_socket_matches" in found.cluster(sidecar(), name)
    found.services("""
    - name: late
      namespace: weather
      instances: [{address: 10.0.0.7, labels: {app: frontend}}]
    - name: elsewhere
      namespace: other
      instances: [{address: 10.0.0.6, labels: {app: frontend}}]
    """)
    assert hosts(found.endpoints(sidecar(), name)) == [("10.0.0.1", 9000), ("10.0.0.7", 9000)]


def test_workload_entries_are_selected() -> None:
    machine = "---\nkind: WorkloadEntry\nmetadata: {name: vm}\nspec: "
    found = world(
        selecting("vm"),
        machine + "{address: 192.0.2.9, labels: {app: vm}, serviceAccount: vm, ports: {tcp: 9001}}",
    )
    name = "outbound|9000||a.example"
    assert hosts(found.endpoints(sidecar(), name)) == [("192.0.2.9", 9001)]
    found.remove_rule("WorkloadEntry", "vm")
    assert "endpoints" not in found.endpoints(sidecar(), name)


def test_who_sees_an_entry() -> None:
    found = world(entry(f"{{hosts: [a.example], ports: [{HTTP}], resolution: DNS, exportTo: ['.']}}"))
    assert "outbound|80||a.example" in found.all(sidecar(), CDS)
    assert "outbound|80||a.example" not in found.all(sidecar("x", "elsewhere", "10.0.0.5"), CDS)


def test_the_oldest_entry_of_a_host_counts_until_it_goes() -> None:
    found = world(
        entry(f"{{hosts: [a.example], ports: [{HTTP}], resolution: DNS}}", "a"),
        entry(f"{{hosts: [a.example], ports: [{TLS}], resolution: DNS}}", "b"),
        entry(f"{{hosts: [a.example], ports: [{TCP}], resolution: STATIC}}", "c", "elsewhere"),
    )
    ours = {name for name in found.all(sidecar(), CDS) if name.endswith("a.example")}
    assert ours == {"outbound|80||a.example", "outbound|443||a.example"}
    found.remove_rule("ServiceEntry", "a")
    found.remove_rule("ServiceEntry", "b")
    ours = {name for name in found.all(sidecar(), CDS) if name.endswith("a.example")}
    assert ours == {"outbound|9000||a.example"}
    found.remove_rule("ServiceEntry", "c", "elsewhere")
    assert not any(name.endswith("a.example") for name in found.all(sidecar(), CDS))


def test_an_entry_changes_only_what_hangs_on_it() -> None:
    found = world(entry(f"{{hosts: [a.example], ports: [{HTTP}], resolution: DNS, exportTo: ['.']}}"))
    other = sidecar("x", "elsewhere", "10.0.0.5")
    before = found.all(other, CDS), found.all(other, LDS), found.all(sidecar(), LDS)
    found.rules(entry(f"{{hosts: [a.example], ports: [{HTTP}], resolution: NONE, exportTo: ['.']}}"))
    after = found.all(other, CDS), found.all(other, LDS), found.all(sidecar(), LDS)
    assert all(one is two for one, two in zip(before, after, strict=True))


# TLS that the proxy begins


def origination(tls: str, host: str = "a.example") -> str:
    return (
        f"---\nkind: DestinationRule\nmetadata: {{name: {host}}}\n"
        f"spec: {{host: {host}, trafficPolicy: {{tls: {{{tls}}}}}}}\n"
    )


def socket_of(found: World, proxy: Any, name: str = "outbound|80||a.example") -> Any:
    return found.cluster(proxy, name)["transport_socket"]["typed_config"]


OUTSIDE = entry(f"{{hosts: [a.example], ports: [{HTTP}, {TLS}], resolution: DNS}}")


def test_simple_tls_follows_the_host_and_verifies_it() -> None:
    found = world(OUTSIDE, origination("mode: SIMPLE, caCertificates: /ca.pem"))
    config = socket_of(found, sidecar())
    assert "sni" not in config
    common = config["common_tls_context"]
    assert common["validation_context"]["trusted_ca"] == {"filename": "/ca.pem"}
    options = found.cluster(sidecar(), "outbound|80||a.example")["typed_extension_protocol_options"]
    (http,) = options.values()
    contains(http["upstream_http_protocol_options"], {"auto_sni": True, "auto_san_validation": True})
    assert socket_of(found, sidecar(), "outbound|443||a.example")["sni"] == "a.example"


def test_names_that_are_expected() -> None:
    found = world(OUTSIDE, origination("mode: SIMPLE, sni: b.example, subjectAltNames: [c.example]"))
    config = socket_of(found, sidecar())
    assert config["sni"] == "b.example"
    context = config["common_tls_context"]["validation_context"]
    assert context["trusted_ca"]["filename"] == "/etc/ssl/certs/ca-certificates.crt"
    assert {"san_type": "DNS", "matcher": {"exact": "c.example"}} in context["match_typed_subject_alt_names"]


def test_nothing_is_verified_on_demand() -> None:
    found = world(OUTSIDE, origination("mode: SIMPLE, insecureSkipVerify: true"))
    assert "validation_context" not in socket_of(found, sidecar())["common_tls_context"]
    options = found.cluster(sidecar(), "outbound|80||a.example")["typed_extension_protocol_options"]
    (http,) = options.values()
    assert http["upstream_http_protocol_options"] == {"auto_sni": True}


def test_mutual_tls_with_files() -> None:
    tls = "mode: MUTUAL, clientCertificate: /a.pem, privateKey: /a.key, caCertificates: /ca.pem"
    common = socket_of(world(OUTSIDE, origination(tls)), sidecar())["common_tls_context"]
    (pair,) = common["tls_certificates"]
    assert (pair["certificate_chain"], pair["private_key"]) == (
        {"filename": "/a.pem"},
        {"filename": "/a.key"},
    )


def test_credentials_are_for_gateways() -> None:
    found = world(OUTSIDE, origination("mode: MUTUAL, credentialName: mine"))
    common = socket_of(found, EGRESS)["common_tls_context"]
    (shown,) = common["tls_certificate_sds_secret_configs"]
    assert shown["name"] == "kubernetes://mine"
    assert shown["sds_config"]["initial_fetch_timeout"] == "1s", "a missing one must not hold up others"
    combined = common["combined_validation_context"]
    assert combined["validation_context_sds_secret_config"]["name"] == "kubernetes://mine-cacert"
    assert "tls_certificate_sds_secret_configs" not in socket_of(found, sidecar())["common_tls_context"]


THROUGH_EGRESS = f"""
---
kind: Gateway
metadata: {{name: egress, namespace: istio-system}}
spec:
  selector: {{istio: egressgateway}}
  servers:
    - port: {{number: 443, name: https, protocol: HTTPS}}
      hosts: [a.example]
      tls: {{mode: ISTIO_MUTUAL}}
---
kind: DestinationRule
metadata: {{name: egress, namespace: istio-system}}
spec:
  host: istio-egressgateway.istio-system.{DOMAIN}
  subsets:
    - name: outside
      trafficPolicy:
        portLevelSettings: [{{port: {{number: 443}}, tls: {{mode: ISTIO_MUTUAL, sni: a.example}}}}]
---
kind: VirtualService
metadata: {{name: outside, namespace: istio-system}}
spec:
  hosts: [a.example]
  gateways: [egress, mesh]
  http:
    - match: [{{gateways: [mesh], port: 80}}]
      route:
        - destination:
            {{host: istio-egressgateway.istio-system.{DOMAIN}, subset: outside, port: {{number: 443}}}}
    - match: [{{gateways: [egress], port: 443}}]
      route: [{{destination: {{host: a.example, port: {{number: 80}}}}}}]
"""


def test_through_the_egress_gateway(tmp_path: Path) -> None:
    found = world(OUTSIDE, origination("mode: SIMPLE, caCertificates: /dev/null"), THROUGH_EGRESS)
    leaving = f"outbound|443|outside|istio-egressgateway.istio-system.{DOMAIN}"
    host = found.virtual_host(sidecar(), "80", "a.example:80")
    assert host["routes"][0]["route"]["cluster"] == leaving
    config = socket_of(found, sidecar(), leaving)
    assert config["sni"] == "a.example"
    assert config["common_tls_context"]["tls_certificate_sds_secret_configs"][0]["name"] == "default"
    (chain,) = found.listener(EGRESS, "0.0.0.0_8443")["filter_chains"]
    assert chain["filter_chain_match"]["server_names"] == ["a.example"]
    routes = found.routes(EGRESS, "https.443.https.egress.istio-system")["virtual_hosts"]
    assert routes[0]["routes"][0]["route"]["cluster"] == "outbound|80||a.example"
    assert problems(found.snapshot) == []


def test_envoy_accepts_it(tmp_path: Path) -> None:
    found = world(
        entry(f"{{hosts: [a.example], ports: [{HTTP}, {TLS}, {TCP}], resolution: DNS}}", "a"),
        entry(f"{{hosts: ['*.b.example'], ports: [{HTTP}, {TLS}], resolution: NONE}}", "b"),
        entry(f"{{hosts: [c.example], addresses: [192.0.2.0/24], ports: [{TCP}], resolution: NONE}}", "c"),
        entry(f"{{hosts: [d.example], ports: [{HTTP}], resolution: DNS_ROUND_ROBIN}}", "d"),
        entry("{hosts: [e.example], ports: [{number: 81, name: any}], resolution: DNS}", "e"),
        origination("mode: SIMPLE, insecureSkipVerify: true"),
        THROUGH_EGRESS,
    )
    for name, proxy in (("sidecar", sidecar(labels=Labels())), ("egress", EGRESS)):
        resources = found.everything(proxy)
        assert judged(bootstrap(resources.values()), tmp_path / f"{name}.json") == ""
        assert any(kind == EDS for kind, _ in resources)
