"""G1: content of traffic rules: ports, names, secrets, references inside the object; what nothing reaches."""

from typing import Any

import pytest

from mesh.api.admit import admit
from mesh.api.checks import models_in
from mesh.api.errors import ConfigError
from mesh.api.kinds import KINDS
from mesh.api.meshconfig import MeshConfig, advice_of
from mesh.api.unused import UNUSED_FIELDS, UNUSED_KINDS

pytestmark = pytest.mark.behaviour("S3", "G1")
VERSIONS = {kind.kind: f"{kind.group}/{kind.versions[0]}" for kind in KINDS}
TO = {"route": [{"destination": {"host": "a"}}]}


def judged(kind: str, spec: Any) -> tuple[dict[str, str], dict[str, str]]:
    obj = {
        "apiVersion": VERSIONS[kind],
        "kind": kind,
        "metadata": {"name": "a", "namespace": "b"},
        "spec": spec,
    }
    errors, warnings = admit(obj)
    return {e.path: str(e) for e in errors}, {w.path: str(w) for w in warnings}


def entry(**changes: Any) -> dict[str, Any]:
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    return {"hosts": ["a.example.com"], "ports": ports, "resolution": "DNS", **changes}


def server(**changes: Any) -> dict[str, Any]:
    tls = {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["*"], **changes}
    return {"selector": {"istio": "ingressgateway"}, "servers": [tls]}


@pytest.mark.parametrize(
    ("kind", "spec", "path", "words"),
    [
        ("ServiceEntry", entry(hosts=[]), "spec.hosts", "at least one"),
        ("ServiceEntry", entry(hosts=["*"]), "spec.hosts[0]", "every host"),
        ("ServiceEntry", entry(hosts=["*.a.com"]), "spec.hosts[0]", "resolution DNS"),
        ("ServiceEntry", entry(ports=[]), "spec.ports", "at least one"),
        ("ServiceEntry", entry(addresses=["10.0.0.0/8"]), "spec.addresses[0]", "is a range"),
        ("ServiceEntry", entry(addresses=["x"]), "spec.addresses[0]", "no address"),
        ("ServiceEntry", entry(resolution="STATIC", endpoints=[{"address": "a.com"}]),
         "spec.endpoints[0].address", "use DNS"),
        ("ServiceEntry", entry(resolution="NONE", endpoints=[{"address": "1.2.3.4"}]),
         "spec.endpoints", "NONE"),
        ("ServiceEntry", entry(endpoints=[{"address": "b.com", "ports": {"htp": 1}}]),
         "spec.endpoints[0].ports[htp]", "ports are http"),
        ("ServiceEntry", entry(endpoints=[{"address": "b.com"}], workloadSelector={"labels": {"a": "b"}}),
         "spec", "only one of endpoints, workloadSelector"),
        ("ServiceEntry", entry(exportTo=["A_B"]), "spec.exportTo[0]", "no namespace"),
        ("Gateway", server(tls={"mode": "SIMPLE", "credentialName": "ns/name"}),
         "spec.servers[0].tls.credentialName", "the name alone"),
        ("Gateway", server(tls={"mode": "SIMPLE", "credentialName": "-----BEGIN CERTIFICATE-----"}),
         "spec.servers[0].tls.credentialName", "put it into a Secret"),
        ("Gateway", server(tls={"mode": "MUTUAL", "serverCertificate": "/a", "privateKey": "/b"}),
         "spec.servers[0].tls.caCertificates", "is missing"),
        ("Gateway", server(tls={"mode": "SIMPLE", "credentialName": "a", "minProtocolVersion": "TLSV1_3",
                                "maxProtocolVersion": "TLSV1_2"}),
         "spec.servers[0].tls.minProtocolVersion", "above"),
        ("Gateway", server(tls={"mode": "SIMPLE", "credentialName": "a"}, bind="eth0"),
         "spec.servers[0].bind", "IP"),
        ("DestinationRule", {"host": "a", "subsets": [{"name": "v 1"}]}, "spec.subsets[0].name", "no name"),
        ("DestinationRule", {"host": "a", "trafficPolicy": {"portLevelSettings": [{}]}},
         "spec.trafficPolicy.portLevelSettings[0].port", "is missing"),
        ("DestinationRule",
         {"host": "a", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL", "privateKey": "/k"}}},
         "spec.trafficPolicy.tls", "own certificate"),
        ("VirtualService", {"hosts": ["a"], "tcp": [{"match": [{"destinationSubnets": ["x"]}], **TO}]},
         "spec.tcp[0].match[0].destinationSubnets[0]", "no range"),
        ("VirtualService", {"hosts": ["a"], "gateways": ["A/B/C"], "http": [TO]},
         "spec.gateways[0]", "no name"),
        ("VirtualService", {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "*.a"}}]}]},
         "spec.http[0].route[0].destination.host", "one service"),
        ("Sidecar", {"egress": [{"hosts": ["forecast"]}]}, "spec.egress[0].hosts[0]", "NAMESPACE/HOST"),
        ("Sidecar", {"egress": [{"hosts": ["./*"]}, {"hosts": ["a/*"]}]}, "spec.egress[0]", "put it last"),
        ("EnvoyFilter", {"configPatches": [{"applyTo": "CLUSTER", "patch": {"operation": "ADD"}}]},
         "spec.configPatches[0].patch.value", "is missing"),
        ("Telemetry", {"metrics": [{"overrides": [
            {"tagOverrides": {"a": {"operation": "REMOVE", "value": "b"}}}]}]},
         "spec.metrics[0].overrides[0].tagOverrides[a].value", "leave it out"),
        ("WorkloadEntry", {"labels": {"a": "b"}}, "spec.address", "is missing"),
        ("WorkloadGroup", {"template": {"address": "1.2.3.4"}, "probe": {}}, "spec.probe", "exactly one of"),
        ("handler", {"adapter": "a", "compiledAdapter": "b"}, "spec", "exactly one of"),
        ("rule", {"match": "true"}, "spec.actions", "add an action"),
        ("QuotaSpec", {"rules": [{"quotas": [{"quota": "", "charge": 1}]}]},
         "spec.rules[0].quotas[0].quota", "name"),
    ],
)  # fmt: skip
def test_wrong_content_is_refused(kind: str, spec: Any, path: str, words: str) -> None:
    errors, _ = judged(kind, spec)
    assert list(errors) == [path]
    assert words in errors[path]


@pytest.mark.parametrize(
    ("kind", "spec", "path", "words"),
    [
        ("VirtualService", {"hosts": ["a"], "http": [TO, {"match": [{"uri": {"exact": "/a"}}], **TO}]},
         "spec.http[1]", "never reached"),
        ("VirtualService", {"hosts": ["a"], "http": [
            {"match": [{"uri": {"prefix": "/a"}}], **TO},
            {"match": [{"uri": {"exact": "/ab"}, "headers": {"x": {"exact": "1"}}}], **TO}]},
         "spec.http[1]", "http[0] takes all"),
        ("VirtualService", {"hosts": ["a"], "http": [{"match": [{"gateways": ["g"]}], **TO}]},
         "spec.http[0].match[0].gateways", "never matches"),
        ("VirtualService", {"hosts": ["a"], "http": [{"delegate": {"name": "b"}}]},
         "spec.http[0].delegate", "not act"),
        ("Gateway", {"selector": {"a": "b"}, "servers": [
            {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["a.com", "a.com"]}]},
         "spec.servers[0].hosts", "already"),
        ("DestinationRule", {"host": "a", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
         "spec.trafficPolicy.tls", "not verified"),
        ("VirtualService", {"hosts": ["a"], "http": [{"corsPolicy": {"allowOrigin": ["*"]}, **TO}]},
         "spec.http[0].corsPolicy.allowOrigin", "allowOrigins is used"),
        ("ServiceEntry", entry(resolution="STATIC"), "spec.endpoints", "nobody can answer"),
        ("statsd", {"address": "a:1"}, "kind", "does not act on it yet"),
        ("Sidecar", {"egress": [{"hosts": ["./*"]}]}, "kind", "does not act on it yet"),
    ],
)  # fmt: skip
def test_doubtful_content_is_told(kind: str, spec: Any, path: str, words: str) -> None:
    errors, warnings = judged(kind, spec)
    assert errors == {}
    assert words in warnings[path], warnings


@pytest.mark.parametrize(
    "later",
    [
        {"uri": {"prefix": "/b"}},
        {"uri": {"exact": "/A"}},
        {"uri": {"regex": "/a.*"}},
        {"method": {"exact": "GET"}},
        {"uri": {"exact": "/A"}, "ignoreUriCase": True},
    ],
)
def test_a_route_that_something_reaches_is_not_doubted(later: dict[str, Any]) -> None:
    first = {"match": [{"uri": {"prefix": "/a"}, "port": 80}], **TO}
    _, warnings = judged("VirtualService", {"hosts": ["a"], "http": [first, {"match": [later], **TO}]})
    assert warnings == {}


def test_the_table_of_what_is_unused_names_what_there_is() -> None:
    models: dict[str, type[Any]] = {}
    waiting: list[type[Any]] = [kind.model for kind in KINDS]
    while waiting:
        model = waiting.pop()
        if models.setdefault(model.__name__, model) is model:
            inner = [m for f in model.model_fields.values() for m in models_in(f.annotation)]
            waiting += [m for m in inner if m.__name__ not in models]
    assert UNUSED_KINDS.keys() <= {kind.kind for kind in KINDS}
    for name, fields in UNUSED_FIELDS.items():
        assert fields.keys() <= models[name].model_fields.keys()


def test_mesh_settings_take_what_istio_has_and_say_what_is_unused() -> None:
    text = """
trustDomain: example.org
trustDomainAliases: [old.example.org]
ingressClass: istio
extensionProviders:
- name: gate
  envoyExtAuthzGrpc: {service: weather/guard.weather.svc.cluster.local, port: 9000, timeout: 1s}
"""
    config = MeshConfig.from_yaml(text)
    assert config.trust_domain_aliases == ("old.example.org",)
    provider = config.extension_providers[0].envoy_ext_authz_grpc
    assert provider is not None and (provider.port, provider.timeout) == (9000, 1.0)
    assert [each.path for each in advice_of(text)] == ["data.mesh.ingressClass"]


def test_providers_that_nobody_asks_are_told() -> None:
    text = "extensionProviders: [{name: z, datadog: {service: z.istio-system, port: 9411}}]\n"
    (said,) = advice_of(text)
    assert said.path == "data.mesh.extensionProviders[0]" and "does not use" in said.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trustDomian: a", "did you mean trustDomain?"),
        ("extensionProviders: [{name: a}]", "exactly one kind of provider"),
        ("extensionProviders: [{name: a, datadog: {}}, {name: a, datadog: {}}]", "stands 2 times"),
        ("extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a, port: 0}}]", "1-65535"),
        ("[]", "write a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_wrong_mesh_settings_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MeshConfig.from_yaml(text)
    assert words in str(caught.value)
