"""The objects that `meshctl install` brings: right by Kubernetes' schemas, and right with each other."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from mesh.agent.main import parser as agent_parser
from mesh.api.meshconfig import MeshConfig
from mesh.injector.settings import Settings
from mesh.install.certificates import ServingCertificate
from mesh.install.images import IMAGES, MESH_IMAGE
from mesh.install.manifests import OWNER, UnknownProfile, Values, render
from mesh.pilot.main import parser as pilot_parser
from tests.injector.pods import check_schema

pytestmark = pytest.mark.behaviour("H1")

CERTIFICATE = ServingCertificate.make("istio-sidecar-injector", "istio-system")
OBJECTS = render(certificate=CERTIFICATE)


def objects(kind: str) -> list[Any]:
    return [obj for obj in OBJECTS if obj["kind"] == kind]


def named(kind: str, name: str) -> Any:
    return next(obj for obj in objects(kind) if obj["metadata"]["name"] == name)


def pods() -> Iterator[tuple[str, Any]]:
    for obj in objects("Deployment"):
        yield obj["metadata"]["name"], obj["spec"]["template"]["spec"]


def test_kubernetes_accepts_all_of_them() -> None:
    check_schema(*OBJECTS)


def test_the_names_that_istios_users_know() -> None:
    expected = {"istio-pilot", "istio-sidecar-injector", "istio-ingressgateway"}
    for kind in ("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"):
        assert {obj["metadata"]["name"] for obj in objects(kind)} == expected
    assert [obj["metadata"]["name"] for obj in objects("Namespace")] == ["istio-system"]
    gateway = named("Deployment", "istio-ingressgateway")["spec"]["template"]["metadata"]["labels"]
    assert (gateway["app"], gateway["istio"]) == ("istio-ingressgateway", "ingressgateway")


def test_they_can_be_created_in_their_order() -> None:
    kinds = [obj["kind"] for obj in OBJECTS]
    last = {kind: len(kinds) - kinds[::-1].index(kind) for kind in kinds}
    for first, then in (
        ("Namespace", "ServiceAccount"),
        ("PriorityClass", "Deployment"),
        ("ServiceAccount", "Deployment"),
        ("ConfigMap", "Deployment"),
        ("Secret", "Deployment"),
        ("Service", "MutatingWebhookConfiguration"),
        ("Deployment", "MutatingWebhookConfiguration"),
    ):
        assert last[first] <= kinds.index(then), f"{first} after {then}"


def test_each_is_marked_as_ours_and_shares_nothing_with_another() -> None:
    assert all(OWNER.items() <= obj["metadata"]["labels"].items() for obj in OBJECTS)
    webhooks = named("MutatingWebhookConfiguration", "istio-sidecar-injector")["webhooks"]
    assert webhooks[0]["rules"] == webhooks[1]["rules"]
    assert webhooks[0]["rules"] is not webhooks[1]["rules"]


def test_services_lead_to_ports_that_containers_open() -> None:
    for service in objects("Service"):
        deployment = named("Deployment", service["metadata"]["name"])["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        assert deployment["selector"]["matchLabels"].items() <= labels.items()
        opened = {
            port["containerPort"]
            for container in deployment["template"]["spec"]["containers"]
            for port in container["ports"]
        }
        assert {port.get("targetPort", port["port"]) for port in service["spec"]["ports"]} <= opened


def test_whatever_a_pod_names_is_there() -> None:
    accounts = {obj["metadata"]["name"] for obj in objects("ServiceAccount")}
    for name, spec in pods():
        assert spec["serviceAccountName"] in accounts
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes), name
            assert container["image"] == MESH_IMAGE in IMAGES
        for volume in volumes.values():
            if "configMap" in volume:
                assert named("ConfigMap", volume["configMap"]["name"])
            if "secret" in volume:
                assert named("Secret", volume["secret"]["secretName"])


def test_no_pod_has_more_rights_than_it_needs() -> None:
    for _, spec in pods():
        for container in spec["containers"]:
            context = container["securityContext"]
            assert (context["runAsUser"], context["runAsNonRoot"]) == (1337, True)
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    role = objects("ClusterRole")[0]
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_every_deployment_is_asked_each_second_whether_it_is_ready() -> None:
    for name, spec in pods():
        assert spec["containers"][0]["readinessProbe"]["periodSeconds"] == 1, name


def test_the_programs_understand_their_arguments() -> None:
    gateway = named("Deployment", "istio-ingressgateway")["spec"]["template"]["spec"]["containers"][0]
    assert gateway["command"] == ["pilot-agent"]
    assert agent_parser().parse_args(gateway["args"]).kind == "router"
    pilot = named("Deployment", "istio-pilot")["spec"]["template"]["spec"]["containers"][0]
    assert pilot["command"] == ["pilot-discovery"]
    assert str(pilot_parser().parse_args(pilot["args"]).mesh_config) == "/etc/istio/config/mesh"


def test_the_gateway_is_a_router_with_its_own_name() -> None:
    container = named("Deployment", "istio-ingressgateway")["spec"]["template"]["spec"]["containers"][0]
    assert container["name"] == "istio-proxy"
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["ISTIO_META_WORKLOAD_NAME"] == "istio-ingressgateway"
    config = json.loads(variables["PROXY_CONFIG"] or "")
    assert config["discoveryAddress"] == "istio-pilot.istio-system.svc:15010"


def test_the_settings_can_be_read_by_whom_they_are_for() -> None:
    mesh = named("ConfigMap", "istio")["data"]["mesh"]
    config = MeshConfig.from_yaml(mesh)
    assert (config.root_namespace, config.access_log_file) == ("istio-system", "/dev/stdout")
    settings = Settings.parse(named("ConfigMap", "istio-sidecar-injector")["data"]["values"], mesh)
    assert settings.image == MESH_IMAGE
    assert settings.proxy_config["concurrency"] == config.default_config.concurrency == 1


def test_the_webhook_is_trusted_by_what_the_injector_shows() -> None:
    data = named("Secret", "istio-sidecar-injector-certs")["data"]
    assert base64.b64decode(data["cert-chain.pem"]) == CERTIFICATE.certificate
    for webhook in named("MutatingWebhookConfiguration", "istio-sidecar-injector")["webhooks"]:
        assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == CERTIFICATE.root
        assert webhook["clientConfig"]["service"]["namespace"] == "istio-system"


def selected(webhook: Any, namespace: dict[str, str], pod: dict[str, str]) -> bool:
    """Whether the API server asks a webhook about a Pod with these labels."""
    return all(
        matches(selector, labels)
        for selector, labels in ((webhook["namespaceSelector"], namespace), (webhook["objectSelector"], pod))
    )


def matches(selector: Any, labels: dict[str, str]) -> bool:
    tests = {
        "DoesNotExist": lambda e: e["key"] not in labels,
        "NotIn": lambda e: labels.get(e["key"]) not in e["values"],
    }
    plain = selector.get("matchLabels", {}).items() <= labels.items()
    return plain and all(tests[e["operator"]](e) for e in selector.get("matchExpressions", ()))


@pytest.mark.parametrize(
    ("namespace", "pod", "asked"),
    [
        ({"istio-injection": "enabled"}, {}, 1),
        ({"istio-injection": "enabled"}, {"sidecar.istio.io/inject": "true"}, 1),
        ({"istio-injection": "enabled"}, {"sidecar.istio.io/inject": "false"}, 0),
        ({"istio-injection": "disabled"}, {"sidecar.istio.io/inject": "true"}, 0),
        ({}, {}, 0),
        ({}, {"sidecar.istio.io/inject": "true"}, 1),
        ({"kubernetes.io/metadata.name": "kube-system"}, {"sidecar.istio.io/inject": "true"}, 0),
    ],
)
def test_whom_the_webhook_is_asked_about(namespace: Any, pod: Any, asked: int) -> None:
    webhooks = named("MutatingWebhookConfiguration", "istio-sidecar-injector")["webhooks"]
    assert sum(selected(webhook, namespace, pod) for webhook in webhooks) == asked


def test_another_namespace_and_image() -> None:
    made = render(values=Values(namespace="mesh", image="other:1"))
    text = yaml.safe_dump_all(made)
    assert "istio-system" not in text and MESH_IMAGE not in text
    check_schema(*made)


def test_an_unknown_profile_names_those_that_there_are() -> None:
    with pytest.raises(UnknownProfile, match="there is no profile 'grand'") as caught:
        render("grand")
    assert caught.value.remedy == "use one of: compact"


def test_a_dry_run_prints_what_kubectl_can_apply() -> None:
    argv = [sys.executable, "-m", "mesh.cli.main", "install", "--dry-run"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    printed = list(yaml.safe_load_all(done.stdout))
    assert [(o["kind"], o["metadata"]["name"]) for o in printed] == [
        (o["kind"], o["metadata"]["name"]) for o in OBJECTS
    ]
