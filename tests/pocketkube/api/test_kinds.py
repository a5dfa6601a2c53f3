"""What is particular to the built-in kinds: defaults, addresses, what they refuse and how they say it."""

from typing import Any

import pytest

from pocketkube.api.errors import Forbidden, Invalid
from tests.pocketkube.api.rig import config_map, deployment, new_api, pod, service

pytestmark = pytest.mark.behaviour("H1")
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


async def test_pods_are_completed() -> None:
    api = await new_api()
    made = await api.create(
        "pods", pod(containers=[{"name": "main", "image": "i", "ports": [{"containerPort": 80}]}]), "demo"
    )
    spec, container = made["spec"], made["spec"]["containers"][0]
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["terminationGracePeriodSeconds"]) == (
        "Always",
        "ClusterFirst",
        30,
    )
    assert (container["imagePullPolicy"], container["ports"][0]["protocol"]) == ("Always", "TCP")
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert spec["priority"] == 0
    assert {item["key"] for item in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }


async def test_probes_and_volumes_are_completed() -> None:
    api = await new_api()
    container = {"name": "main", "image": "i:1", "readinessProbe": {"httpGet": {"port": 80}}}
    volumes = [{"name": "a"}, {"name": "b", "configMap": {"name": "c"}}]
    made = await api.create("pods", pod(containers=[container], volumes=volumes), "demo")
    probe = made["spec"]["containers"][0]["readinessProbe"]
    assert probe["httpGet"] == {"port": 80, "path": "/", "scheme": "HTTP"}
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (10, 3)
    assert made["spec"]["volumes"][0] == {"name": "a", "emptyDir": {}}
    assert made["spec"]["volumes"][1]["configMap"]["defaultMode"] == 420


async def test_pods_get_their_accounts_token() -> None:
    api = await new_api()
    made = await api.create("pods", pod(), "demo")
    assert made["spec"]["serviceAccountName"] == "default"
    mount = made["spec"]["containers"][0]["volumeMounts"][0]
    assert (mount["mountPath"], mount["readOnly"]) == (TOKEN_PATH, True)
    volume = next(item for item in made["spec"]["volumes"] if item["name"] == mount["name"])
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]


async def test_a_token_can_be_declined() -> None:
    api = await new_api()
    made = await api.create("pods", pod(automountServiceAccountToken=False), "demo")
    assert "volumes" not in made["spec"]


async def test_an_account_must_exist() -> None:
    api = await new_api()
    with pytest.raises(Forbidden, match='serviceaccount "ghost" not found'):
        await api.create("pods", pod(serviceAccountName="ghost"), "demo")


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    ],
)
async def test_quality_of_service(resources: dict[str, Any], wanted: str) -> None:
    api = await new_api()
    made = await api.create(
        "pods", pod(containers=[{"name": "main", "image": "i:1", "resources": resources}]), "demo"
    )
    assert made["status"]["qosClass"] == wanted


BAD_PODS = [
    ({"containers": []}, "spec.containers: Required value"),
    ({"containers": [{"name": "A", "image": "i"}]}, "spec.containers[0].name: Invalid value"),
    ({"containers": [{"name": "a"}]}, "spec.containers[0].image: Required value"),
    (
        {"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]},
        'spec.containers[1].name: Duplicate value: "a"',
    ),
    ({"restartPolicy": "Sometimes"}, "spec.restartPolicy: Unsupported value"),
    (
        {"containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
        'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ),
    (
        {"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 70000}]}]},
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000",
    ),
    ({"containers": [{"name": "a", "image": "i", "livenessProbe": {}}]}, "must specify exactly one handler"),
]


@pytest.mark.parametrize(("spec", "message"), BAD_PODS)
async def test_pods_that_cannot_be(spec: dict[str, Any], message: str) -> None:
    api = await new_api()
    with pytest.raises(Invalid) as refused:
        await api.create("pods", pod(**spec), "demo")
    assert message in refused.value.message
    assert 'Pod "p" is invalid' in refused.value.message


async def test_all_problems_are_told_at_once() -> None:
    api = await new_api()
    bad = deployment()
    bad["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    bad["spec"]["replicas"] = -1
    with pytest.raises(Invalid) as refused:
        await api.create("deployments.apps", bad, "demo")
    fields = [cause["field"] for cause in refused.value.details["causes"]]
    assert fields == ["spec.replicas", "spec.template.metadata.labels"]


async def test_selectors_of_workloads_stay() -> None:
    api = await new_api()
    await api.create("deployments.apps", deployment(), "demo")
    change = {
        "spec": {"selector": {"matchLabels": {"x": "y"}}, "template": {"metadata": {"labels": {"x": "y"}}}}
    }
    with pytest.raises(Invalid, match=r"spec.selector: Invalid value.*immutable"):
        await api.patch("deployments.apps", "d", "demo", change)


async def test_services_get_addresses_and_keep_them() -> None:
    api = await new_api()
    first = await api.create("services", service("a"), "demo")
    second = await api.create("services", service("b"), "demo")
    assert first["spec"]["clusterIP"] != second["spec"]["clusterIP"]
    assert first["spec"]["clusterIP"].startswith("198.19.")
    assert first["spec"]["ports"][0] == {"port": 80, "protocol": "TCP", "targetPort": 80}
    replaced = await api.update("services", {**service("a"), "metadata": {"name": "a", "namespace": "demo"}})
    assert replaced["spec"]["clusterIP"] == first["spec"]["clusterIP"]
    with pytest.raises(Invalid, match=r"spec.clusterIP.*immutable"):
        await api.patch("services", "a", "demo", {"spec": {"clusterIP": "198.19.7.7"}})


async def test_addresses_can_be_asked_for_and_come_back() -> None:
    api = await new_api()
    await api.create("services", service("a", clusterIP="198.19.0.10"), "demo")
    with pytest.raises(Invalid, match="already allocated to Service demo/a"):
        await api.create("services", service("b", clusterIP="198.19.0.10"), "demo")
    with pytest.raises(Invalid, match="not in the valid range"):
        await api.create("services", service("b", clusterIP="10.0.0.1"), "demo")
    await api.delete("services", "a", "demo")
    await api.create("services", service("b", clusterIP="198.19.0.10"), "demo")


async def test_headless_and_external_services() -> None:
    api = await new_api()
    headless = await api.create("services", service("h", clusterIP="None"), "demo")
    assert (headless["spec"]["clusterIP"], headless["spec"]["clusterIPs"]) == ("None", ["None"])
    external = {"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": "example.com"}}
    assert "clusterIP" not in (await api.create("services", external, "demo"))["spec"]


async def test_load_balancers_have_an_address_of_their_own() -> None:
    api = await new_api()
    made = await api.create("services", service(type="LoadBalancer"), "demo")
    ingress = made["status"]["loadBalancer"]["ingress"]
    assert ingress[0]["ip"] == "198.19.255.1"
    assert made["spec"]["ports"][0]["nodePort"] >= 30000
    other = await api.patch("services", "s", "demo", {"spec": {"type": "ClusterIP"}})
    assert other["status"] == {"loadBalancer": {}}
    assert "nodePort" not in other["spec"]["ports"][0]


BAD_SERVICES = [
    ({"ports": []}, "spec.ports: Required value"),
    ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name: Required value"),
    ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0"),
    (
        {"ports": [{"port": "80"}]},
        "spec.ports[0].port must be of type integer, not string; write it without quotes",
    ),
    ({"type": "Cloud"}, "spec.type: Unsupported value"),
    ({"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}, 'Duplicate value: "a"'),
]


@pytest.mark.parametrize(("spec", "message"), BAD_SERVICES)
async def test_services_that_cannot_be(spec: dict[str, Any], message: str) -> None:
    api = await new_api()
    with pytest.raises(Invalid) as refused:
        await api.create("services", service(**spec), "demo")
    assert message in refused.value.message


async def test_secrets_are_encoded_and_keep_their_type() -> None:
    api = await new_api()
    made = await api.create("secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}, "demo")
    assert (made["type"], made["data"], "stringData" in made) == ("Opaque", {"a": "Yg=="}, False)
    with pytest.raises(Invalid, match=r"type.*immutable"):
        await api.patch("secrets", "s", "demo", {"type": "kubernetes.io/tls"})
    with pytest.raises(Invalid, match=r"data\[a\].*must be base64"):
        await api.patch("secrets", "s", "demo", {"data": {"a": "!!"}})


async def test_immutable_config_maps() -> None:
    api = await new_api()
    await api.create("configmaps", {**config_map(a="1"), "immutable": True}, "demo")
    with pytest.raises(Invalid, match="immutable"):
        await api.patch("configmaps", "c", "demo", {"data": {"a": "2"}})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"name": "Upper"}, "RFC 1123 subdomain"),
        ({"name": "c", "labels": {"a": 1}}, "write it in quotes"),
        ({"name": "c", "labels": {"-a": "b"}}, "metadata.labels"),
        ({"name": "c", "labels": {"a": "b c"}}, "metadata.labels"),
        ({"name": "c", "annotations": {"a": "x" * 300_000}}, "Too long"),
    ],
)
async def test_metadata_that_cannot_be(metadata: dict[str, Any], message: str) -> None:
    api = await new_api()
    with pytest.raises(Invalid, match=message):
        await api.create("configmaps", {"metadata": metadata}, "demo")


async def test_jobs_select_by_their_uid() -> None:
    api = await new_api()
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}
    made = await api.create("jobs.batch", {"metadata": {"name": "j"}, "spec": {"template": template}}, "demo")
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/controller-uid"] == made["metadata"]["uid"]
    again = await api.patch("jobs.batch", "j", "demo", {"spec": {"parallelism": 2}})
    assert again["spec"]["selector"] == made["spec"]["selector"]


async def test_roles_of_bindings_stay() -> None:
    api = await new_api()
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "u"}],
    }
    resource = "rolebindings.rbac.authorization.k8s.io"
    made = await api.create(resource, binding, "demo")
    assert made["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    with pytest.raises(Invalid, match="cannot change roleRef"):
        await api.patch(resource, "b", "demo", {"roleRef": {"name": "other"}})
