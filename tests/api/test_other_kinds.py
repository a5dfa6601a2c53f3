"""T4, T6: DestinationRule and Gateway."""

import pytest

from mesh.api.errors import ConfigError
from mesh.api.load import load_yaml
from mesh.api.networking import DestinationRule, Gateway

HEAD = "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, namespace: b}}\nspec:\n{spec}"


def load(kind: str, spec: str) -> object:
    (obj,) = load_yaml(HEAD.format(kind=kind, spec=spec))
    found: object = obj.spec
    return found


@pytest.mark.behaviour("T4", "W4")
def test_a_destination_rules_fields_are_read() -> None:
    rule = load("DestinationRule", """
  host: forecast
  trafficPolicy:
    loadBalancer: {consistentHash: {httpHeaderName: x-user, ringHash: {minimumRingSize: 2048}}}
    connectionPool:
      tcp: {maxConnections: 5, connectTimeout: 30ms}
      http: {http1MaxPendingRequests: 1, h2UpgradePolicy: UPGRADE}
    outlierDetection: {consecutive5xxErrors: 7, interval: 5m, baseEjectionTime: 15m, maxEjectionPercent: 50}
    portLevelSettings: [{port: {number: 3002}, loadBalancer: {simple: LEAST_REQUEST}}]
  subsets: [{name: v1, labels: {version: v1}}]
""")  # fmt: skip
    assert isinstance(rule, DestinationRule)
    policy = rule.traffic_policy
    assert policy is not None and policy.outlier_detection is not None
    assert policy.outlier_detection.consecutive_5xx_errors == 7
    assert policy.connection_pool is not None and policy.connection_pool.tcp is not None
    assert policy.connection_pool.tcp.connect_timeout == 0.03


POLICY = "  host: a\n  trafficPolicy: "
HASH = POLICY + "{loadBalancer: {consistentHash: {useSourceIp: true, "


@pytest.mark.behaviour("T4")
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("  host: a\n  subsets: [{name: v1}, {name: v1}]", "v1 more than once"),
        (POLICY + "{loadBalancer: {simple: ROUND_ROBBIN}}", "loadBalancer.simple"),
        (POLICY + "{loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}",
         "only one of simple, consistentHash"),
        (POLICY + "{outlierDetection: {maxEjectionPercent: 101}}", "less than or equal to 100"),
        (POLICY + "{connectionPool: {tcp: {maxConnections: 99999999999}}}", "less than or equal"),
        (POLICY + "{connectionPool: {http: {maxRetries: -1}}}", "greater than or equal to 0"),
        (POLICY + "{outlierDetection: {interval: 0s}}", "at least 1ms"),
        (HASH + "maglev: {tableSize: 9}}}}",
         "prime"),
        ("  subsets: []", "spec.host"),
    ],
)  # fmt: skip
def test_a_wrong_destination_rule_is_refused(spec: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("DestinationRule", spec)
    assert words in str(caught.value)


@pytest.mark.behaviour("T6", "W9")
def test_a_gateways_fields_are_read() -> None:
    gateway = load(
        "Gateway",
        """
  selector: {istio: ingressgateway}
  servers:
    - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["weather/*.example.com"]}
    - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: PASSTHROUGH}}
""",
    )
    assert isinstance(gateway, Gateway)
    assert [server.port.number for server in gateway.servers] == [80, 443]


@pytest.mark.behaviour("T6")
@pytest.mark.parametrize(
    ("servers", "words"),
    [
        ("[]", "at least one server"),
        ("[{port: {number: 80, name: http, protocol: HTTPX}, hosts: ['*']}]", "HTTPX"),
        ("[{port: {number: 443, name: x, protocol: HTTPS}, hosts: ['*']}]", "needs tls"),
        ("[{port: {number: 443, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE}}]", "credentialName"),
        ("[{port: {number: 80, name: x, protocol: HTTP}, hosts: ['a.*.b']}]", "wildcard"),
        ("[{port: {number: 80, name: x, protocol: HTTP}, hosts: ['*']},"
         " {port: {number: 81, name: x, protocol: HTTP}, hosts: ['*']}]", "each its own"),
    ],
)  # fmt: skip
def test_a_wrong_gateway_is_refused(servers: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("Gateway", f"  servers: {servers}")
    assert words in str(caught.value)
