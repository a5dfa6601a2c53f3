"""The objects that `meshctl install` brings: right by Kubernetes' schemas, and right with each other."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml

from mesh.agent.main import parser as agent_parser
from mesh.api.kinds import KINDS
from mesh.api.meshconfig import MeshConfig
from mesh.citadel.main import parser as citadel_parser
from mesh.galley.main import parser as galley_parser
from mesh.injector.main import parser as injector_parser
from mesh.injector.settings import Settings
from mesh.install.images import IMAGES, MESH_IMAGE
from mesh.install.manifests import OWNER, UnknownProfile, Values, render
from mesh.install.server import Server
from mesh.install.telemetry import telemetry_rules
from mesh.istiod import parser as istiod_parser
from mesh.mixer.policy.main import parser as policy_parser
from mesh.mixer.telemetry.main import parser as telemetry_parser
from mesh.pilot.main import parser as pilot_parser
from pytest_mesh.kube import Api
from tests.injector.pods import check_schema
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("H1")

PROFILES = {name: render(name) for name in ("compact", "classic")}
MIXERS = {"istio-policy", "istio-telemetry"}
GATEWAYS = {"istio-ingressgateway", "istio-egressgateway"}
PARTS = {"istio-pilot", "istio-citadel", "istio-galley", "istio-sidecar-injector"}
PROGRAMS = {
    "istiod": istiod_parser,
    "pilot-discovery": pilot_parser,
    "istio-citadel": citadel_parser,
    "galley": galley_parser,
    "sidecar-injector": injector_parser,
    "pilot-agent": agent_parser,
    "istio-policy": policy_parser,
    "istio-telemetry": telemetry_parser,
}


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    """Each profile in turn."""
    name: str = request.param
    return name


def objects(kind: str, profile: str = "compact") -> list[Any]:
    return [obj for obj in PROFILES[profile] if obj["kind"] == kind]


def named(kind: str, name: str, profile: str = "compact") -> Any:
    return next(obj for obj in objects(kind, profile) if obj["metadata"]["name"] == name)


def pods(profile: str) -> Iterator[tuple[str, Any]]:
    for obj in objects("Deployment", profile):
        yield obj["metadata"]["name"], obj["spec"]["template"]["spec"]


def test_kubernetes_accepts_all_of_them(profile: str) -> None:
    check_schema(*PROFILES[profile])


def test_the_names_that_istios_users_know(profile: str) -> None:
    own = {"istio-pilot"} if profile == "compact" else PARTS
    for kind in ("Deployment", "ServiceAccount", "PodDisruptionBudget"):
        assert {obj["metadata"]["name"] for obj in objects(kind, profile)} == own | MIXERS | GATEWAYS
    assert {obj["metadata"]["name"] for obj in objects("Service", profile)} == (
        PARTS | MIXERS | GATEWAYS | {"zipkin"}
    )
    assert [obj["metadata"]["name"] for obj in objects("Namespace", profile)] == ["istio-system"]
    for role in ("ingressgateway", "egressgateway"):
        labels = named("Deployment", f"istio-{role}", profile)["spec"]["template"]["metadata"]["labels"]
        assert (labels["app"], labels["istio"]) == (f"istio-{role}", role)


def test_they_can_be_created_in_their_order(profile: str) -> None:
    kinds = [obj["kind"] for obj in PROFILES[profile]]
    last = {kind: len(kinds) - kinds[::-1].index(kind) for kind in kinds}
    for first, then in (
        ("Namespace", "ServiceAccount"),
        ("PriorityClass", "Deployment"),
        ("ServiceAccount", "Deployment"),
        ("ConfigMap", "Deployment"),
        ("ClusterRole", "ClusterRoleBinding"),
        ("Role", "RoleBinding"),
        ("Service", "MutatingWebhookConfiguration"),
        ("Deployment", "MutatingWebhookConfiguration"),
        ("Deployment", "ValidatingWebhookConfiguration"),
    ):
        assert last[first] <= kinds.index(then), f"{first} after {then}"


def test_each_is_marked_as_ours_and_shares_nothing_with_another() -> None:
    assert all(OWNER.items() <= obj["metadata"]["labels"].items() for obj in PROFILES["compact"])
    webhooks = named("MutatingWebhookConfiguration", "istio-sidecar-injector")["webhooks"]
    assert webhooks[0]["rules"] == webhooks[1]["rules"]
    assert webhooks[0]["rules"] is not webhooks[1]["rules"]


def test_services_lead_to_ports_that_containers_open(profile: str) -> None:
    deployments = [obj["spec"] for obj in objects("Deployment", profile)]
    for service in objects("Service", profile):
        selector = service["spec"]["selector"]
        (chosen,) = (
            spec for spec in deployments if selector.items() <= spec["template"]["metadata"]["labels"].items()
        )
        assert chosen["selector"]["matchLabels"].items() <= chosen["template"]["metadata"]["labels"].items()
        opened = {port["containerPort"] for port in chosen["template"]["spec"]["containers"][0]["ports"]}
        wanted = {port.get("targetPort", port["port"]) for port in service["spec"]["ports"]}
        assert wanted <= opened


def test_whatever_a_pod_names_is_there(profile: str) -> None:
    accounts = {obj["metadata"]["name"] for obj in objects("ServiceAccount", profile)}
    for name, spec in pods(profile):
        assert spec["serviceAccountName"] in accounts
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes), name
            assert container["image"] == MESH_IMAGE in IMAGES
        maps = {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
        # The root comes from Citadel; whoever needs it waits for it.
        assert all(named("ConfigMap", each, profile) for each in maps - {"istio-ca-root-cert"})


def test_no_pod_has_more_rights_than_it_needs(profile: str) -> None:
    for _, spec in pods(profile):
        for container in spec["containers"]:
            context = container["securityContext"]
            assert (context["runAsUser"], context["runAsNonRoot"]) == (1337, True)
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def granted(account: str, profile: str) -> set[tuple[str, str]]:
    """(verb, resource) of everything that an account may do."""
    found = set()
    for kind in ("ClusterRole", "Role"):
        for binding in objects(f"{kind}Binding", profile):
            if account in {subject["name"] for subject in binding["subjects"]}:
                rules = named(kind, binding["roleRef"]["name"], profile)["rules"]
                found |= {(v, r) for rule in rules for v in rule["verbs"] for r in rule["resources"]}
    return found


def test_each_component_may_do_its_own_work_only() -> None:
    changing = {"create", "update", "patch", "delete", "deletecollection", "*"}
    pilot = granted("istio-pilot", "classic")
    assert {each for each in pilot if each[0] in changing} == {("patch", "configmaps")}
    galley = granted("istio-galley", "classic")
    assert {each for each in galley if each[0] in changing} == {("patch", "*/status")}
    assert not granted("istio-sidecar-injector", "classic") and not granted("istio-egressgateway", "classic")
    citadel = granted("istio-citadel", "classic")
    assert granted("istio-pilot", "compact") == pilot | galley | citadel


def test_every_deployment_is_asked_each_second_whether_it_is_ready(profile: str) -> None:
    for name, spec in pods(profile):
        assert spec["containers"][0]["readinessProbe"]["periodSeconds"] == 1, name


def test_the_programs_understand_their_arguments(profile: str) -> None:
    for name, spec in pods(profile):
        (container,) = spec["containers"]
        parser = PROGRAMS[container["command"][0]]()
        options = parser.parse_args(container.get("args") or [])
        assert name not in GATEWAYS or options.kind == "router"


def test_the_gateway_is_a_router_with_its_own_name() -> None:
    container = named("Deployment", "istio-ingressgateway")["spec"]["template"]["spec"]["containers"][0]
    assert container["name"] == "istio-proxy"
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["ISTIO_META_WORKLOAD_NAME"] == "istio-ingressgateway"
    config = json.loads(variables["PROXY_CONFIG"] or "")
    assert config["discoveryAddress"] == "istio-pilot.istio-system.svc:15012"


def test_the_settings_can_be_read_by_whom_they_are_for() -> None:
    mesh = named("ConfigMap", "istio")["data"]["mesh"]
    config = MeshConfig.from_yaml(mesh)
    assert (config.root_namespace, config.access_log_file) == ("istio-system", "/dev/stdout")
    settings = Settings.parse(named("ConfigMap", "istio-sidecar-injector")["data"]["values"], mesh)
    assert settings.image == MESH_IMAGE
    assert settings.proxy_config["concurrency"] == config.default_config.concurrency == 1


def test_webhooks_ask_the_namespace_of_the_installation(profile: str) -> None:
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for configuration in objects(kind, profile):
            for webhook in configuration["webhooks"]:
                assert webhook["failurePolicy"] == "Fail"
                assert webhook["clientConfig"]["service"]["namespace"] == "istio-system"
                # Citadel writes it; a field that is applied here would be taken from it.
                assert "caBundle" not in webhook["clientConfig"]


def test_every_kind_of_configuration_is_validated() -> None:
    (webhook,) = named("ValidatingWebhookConfiguration", "istio-galley")["webhooks"]
    (rule,) = webhook["rules"]
    assert set(rule["apiGroups"]) == {kind.group for kind in KINDS}
    assert (rule["operations"], rule["resources"]) == (["CREATE", "UPDATE"], ["*"])


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


def test_another_namespace_and_image(profile: str) -> None:
    made = render(profile, values=Values(namespace="mesh", image="other:1"))
    text = yaml.safe_dump_all(made)
    assert "istio-system" not in text and MESH_IMAGE not in text
    check_schema(*made)


def test_an_unknown_profile_names_those_that_there_are() -> None:
    with pytest.raises(UnknownProfile, match="there is no profile 'grand'") as caught:
        render("grand")
    assert caught.value.remedy == "use one of: compact, classic"


def test_a_dry_run_prints_what_kubectl_can_apply() -> None:
    argv = [sys.executable, "-m", "mesh.cli.main", "install", "--dry-run"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    printed = list(yaml.safe_load_all(done.stdout))
    assert [(o["kind"], o["metadata"]["name"]) for o in printed] == [
        (o["kind"], o["metadata"]["name"]) for o in [*PROFILES["compact"], *telemetry_rules()]
    ]


def test_an_upgrade_keeps_the_number_of_pods_that_somebody_chose(profile: str, served: Served) -> None:
    with closing(Api(served.kubeconfig)) as api:
        server = Server(api.client)
        server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}})
        for item in objects("Deployment", profile):
            server.apply(item)
            api.patch(item, {"spec": {"replicas": 2}})
            server.apply(item)
        kept = {
            found["metadata"]["name"]
            for found in api.items("Deployment", "istio-system", api="apps/v1")
            if found["spec"]["replicas"] == 2
        }
        assert kept == (GATEWAYS | MIXERS | ({"istio-sidecar-injector"} if profile == "classic" else set()))
        for item in objects("Deployment", profile):
            api.delete(item)
