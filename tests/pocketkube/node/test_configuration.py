"""From a container's definition to what the launcher is told: fields, variables, identity, command, files."""

from __future__ import annotations

from typing import Any

import pytest

from pocketkube.images import Image
from pocketkube.node import fields, files, identity, quantity
from pocketkube.node.environment import ConfigError, Surroundings, build
from pocketkube.node.expansion import expand
from pocketkube.node.specification import command

pytestmark = pytest.mark.behaviour("H1")

POD: dict[str, Any] = {
    "metadata": {
        "name": "web",
        "namespace": "weather",
        "uid": "1",
        "labels": {"app": "web"},
        "annotations": {"b": 'say "x"', "a": "1"},
    },
    "spec": {
        "nodeName": "pocket-1",
        "serviceAccountName": "runner",
        "containers": [{"name": "main", "resources": {"limits": {"cpu": "250m"}}}],
    },
    "status": {"podIP": "198.18.1.2", "hostIP": "198.18.0.1", "podIPs": [{"ip": "198.18.1.2"}]},
}
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("configmaps", "settings"): {"kind": "ConfigMap", "data": {"color": "green"}},
    ("secrets", "keys"): {"kind": "Secret", "data": {"token": "c2VjcmV0"}},
}


def read(resource: str, name: str) -> dict[str, Any] | None:
    return OBJECTS.get((resource, name))


AROUND = Surroundings(POD, read, {"cpu": "2", "memory": "1000Ki"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$$(A)", "$(A)"),
        ("$(UNKNOWN) $A $", "$(UNKNOWN) $A $"),
        ("$$$(A)", "$1"),
    ],
)
def test_references_are_expanded(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


@pytest.mark.parametrize(
    ("text", "divisor", "expected"),
    [("250m", "1", 1), ("250m", "1m", 250), ("1Gi", "1Mi", 1024), ("1500k", "1M", 2), (2, "0", 2)],
)
def test_quantities_are_divided_rounding_up(text: str | int, divisor: str, expected: int) -> None:
    assert quantity.divided(text, divisor) == expected


def test_what_is_no_quantity_is_named() -> None:
    with pytest.raises(ValueError, match="'10x' is not a quantity"):
        quantity.parse("10x")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "web"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations", 'a="1"\nb="say \\"x\\""'),
        ("spec.serviceAccountName", "runner"),
        ("status.podIP", "198.18.1.2"),
        ("status.podIPs", "198.18.1.2"),
    ],
)
def test_fields_of_the_pod(path: str, expected: str) -> None:
    assert fields.field(POD, path) == expected


def test_a_field_that_is_not_offered_is_refused() -> None:
    with pytest.raises(fields.FieldError, match=r"spec\.containers"):
        fields.field(POD, "spec.containers")


def test_a_limit_that_is_not_set_is_the_nodes_capacity() -> None:
    reference = {"resource": "limits.memory", "divisor": "1Ki"}
    assert fields.resource(POD, reference, "main", AROUND.capacity) == "1000"
    assert fields.resource(POD, {"resource": "limits.cpu", "divisor": "1m"}, "main", {}) == "250"


def test_the_environment_has_every_source_in_order() -> None:
    container = {
        "name": "main",
        "envFrom": [{"prefix": "C_", "configMapRef": {"name": "settings"}}],
        "env": [
            {"name": "COLOR", "value": "$(C_color)!"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {
                "name": "ABSENT",
                "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k", "optional": True}},
            },
            {"name": "PATH", "value": "/own"},
        ],
    }
    environment = build(container, {"PATH": "/image", "HOME": "/"}, AROUND)
    assert environment["COLOR"] == "green!"
    assert environment["TOKEN"] == "secret"
    assert (environment["POD"], environment["CPU"], environment["HOME"]) == ("web", "1", "/")
    assert environment["PATH"] == "/own"
    assert environment["KUBERNETES_SERVICE_HOST"] == "198.19.0.1"
    assert "ABSENT" not in environment


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "k"}}, "key k in configmap weather/settings"),
        ({"fieldRef": {"fieldPath": "spec.x"}}, "env X: fieldPath 'spec.x'"),
    ],
)
def test_what_is_missing_is_named(source: dict[str, Any], message: str) -> None:
    container = {"name": "main", "env": [{"name": "X", "valueFrom": source}]}
    with pytest.raises(ConfigError, match=message):
        build(container, {}, AROUND)


def pod_with(**security: Any) -> dict[str, Any]:
    return {"metadata": POD["metadata"], "spec": {"securityContext": security}}


def test_the_container_overrides_the_pod_which_overrides_the_image() -> None:
    container = {"name": "a", "securityContext": {"runAsUser": 5}}
    assert identity.of(pod_with(runAsUser=7), container, 9).uid == 5
    assert identity.of(pod_with(runAsUser=7), {"name": "a"}, 9).uid == 7
    assert identity.of(pod_with(), {"name": "a"}, 9).uid == 9


def test_groups_and_the_proxys_own() -> None:
    who = identity.of(pod_with(fsGroup=1337, supplementalGroups=[4]), {"name": "a"}, 1337)
    assert (who.gid, who.groups) == (1337, (4, 1337))
    assert identity.of(pod_with(), {"name": "a"}, 1000).gid == 0


def test_capabilities_are_dropped_then_added() -> None:
    container = {
        "name": "a",
        "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "CAP_NET_RAW"]}},
    }
    who = identity.of(pod_with(), container, 0)
    assert [identity.CAPABILITIES[number] for number in who.capabilities] == ["NET_ADMIN", "NET_RAW"]


def test_what_a_pod_forbids_is_refused() -> None:
    with pytest.raises(ConfigError, match="runAsNonRoot"):
        identity.of(pod_with(runAsNonRoot=True), {"name": "a"}, 0)
    container = {"name": "a", "securityContext": {"capabilities": {"add": ["FLY"]}}}
    with pytest.raises(ConfigError, match="FLY"):
        identity.of(pod_with(), container, 0)


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, ("serve", "--port", "80")),
        ({"args": ["--port", "$(PORT)"]}, ("serve", "--port", "81")),
        ({"command": ["sh"]}, ("sh",)),
        ({"command": ["sh"], "args": ["-c"]}, ("sh", "-c")),
    ],
)
def test_the_command_line(container: dict[str, Any], expected: tuple[str, ...]) -> None:
    image = Image("a", entrypoint=("serve",), cmd=("--port", "80"))
    assert command(container, image, {"PORT": "81"}) == expected


def test_resolver_by_policy() -> None:
    assert files.resolver(POD) == (
        "nameserver 198.19.0.10\n"
        "search weather.svc.cluster.local svc.cluster.local cluster.local\n"
        "options ndots:5\n"
    )
    own = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["198.18.1.9"], "options": [{"name": "edns0"}]}}
    assert files.resolver({**POD, "spec": own}) == "nameserver 198.18.1.9\noptions edns0\n"


def test_hosts_has_the_pod_and_its_aliases() -> None:
    aliases = {"hostAliases": [{"ip": "198.18.250.1", "hostnames": ["bank", "bank.example"]}]}
    lines = files.hosts({**POD, "spec": aliases}, "web", "198.18.1.2").splitlines()
    assert "198.18.1.2\tweb" in lines
    assert lines[-1] == "198.18.250.1\tbank bank.example"
