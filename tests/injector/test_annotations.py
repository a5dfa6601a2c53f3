"""The annotations that shape a sidecar, and what is said of those that make no sense."""

import json
from typing import Any

import pytest

from mesh.injector.annotations import AnnotationProblem
from mesh.injector.settings import Settings
from tests.injector.pods import container, environment, flags, injected, pod

pytestmark = pytest.mark.behaviour("I2")

SIDECAR, TRAFFIC = "sidecar.istio.io/", "traffic.sidecar.istio.io/"


def made(settings: Settings | None = None, **annotations: str) -> Any:
    """The frontend with annotations, written as Python names: `a_b__c` is `a.b/c`."""
    named = {name.replace("__", "/").replace("_", "."): value for name, value in annotations.items()}
    return injected(pod(annotations=named), settings)


def test_resources() -> None:
    result = made(
        sidecar_istio_io__proxyCPU="100m",
        sidecar_istio_io__proxyMemory="128Mi",
        sidecar_istio_io__proxyCPULimit="1",
        sidecar_istio_io__proxyMemoryLimit="256Mi",
    )
    assert container(result)["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "1", "memory": "256Mi"},
    }


def test_image_and_log_levels() -> None:
    result = made(
        sidecar_istio_io__proxyImage="other:1",
        sidecar_istio_io__logLevel="debug",
        sidecar_istio_io__componentLogLevel="upstream:trace,http:off",
    )
    assert container(result)["image"] == container(result, "istio-init")["image"] == "other:1"
    assert container(result)["args"] == [
        "proxy", "sidecar", "--proxyLogLevel", "debug", "--proxyComponentLogLevel", "upstream:trace,http:off",
    ]  # fmt: skip


def proxy_config(result: Any) -> Any:
    return json.loads(environment(result)["PROXY_CONFIG"])


@pytest.mark.parametrize("number", [0, 2])
def test_concurrency(number: int) -> None:
    settings = Settings(proxy_config={"concurrency": 1})
    assert proxy_config(made(settings, sidecar_istio_io__concurrency=str(number)))["concurrency"] == number


def test_the_pods_proxy_config_lies_over_the_meshs() -> None:
    settings = Settings(
        proxy_config={"concurrency": 1, "drainDuration": "45s", "proxyMetadata": {"A": "1", "B": "1"}}
    )
    result = made(settings, proxy_istio_io__config="concurrency: 3\nproxyMetadata: {B: 2, ISTIO_META_X: y}")
    assert proxy_config(result) == {"concurrency": 3, "drainDuration": "45s"}
    variables = environment(result)
    assert (variables["A"], variables["B"], variables["ISTIO_META_X"]) == ("1", "2", "y")


def test_interception() -> None:
    result = made(
        traffic_sidecar_istio_io__includeInboundPorts="80, 443",
        traffic_sidecar_istio_io__excludeInboundPorts="8090",
        traffic_sidecar_istio_io__includeOutboundPorts="9090",
        traffic_sidecar_istio_io__excludeOutboundPorts="3306,6379",
        traffic_sidecar_istio_io__includeOutboundIPRanges="10.0.0.0/8",
        traffic_sidecar_istio_io__excludeOutboundIPRanges="10.1.0.0/16",
    )
    assert flags(result) == {
        "-u": "1337",
        "-g": "1337",
        "-b": "80,443",
        "-d": "8090",
        "-q": "9090",
        "-o": "3306,6379",
        "-i": "10.0.0.0/8",
        "-x": "10.1.0.0/16",
    }


def test_nothing_inbound_is_intercepted_if_the_list_is_empty() -> None:
    assert flags(made(traffic_sidecar_istio_io__includeInboundPorts=""))["-b"] == ""


def test_an_agents_port_of_ones_own_is_excluded_too() -> None:
    result = made(status_sidecar_istio_io__port="15025", traffic_sidecar_istio_io__excludeInboundPorts="80")
    assert proxy_config(result)["statusPort"] == 15025
    assert flags(result)["-d"] == "80,15025"


def test_readiness() -> None:
    assert container(made())["readinessProbe"]["httpGet"] == {"path": "/healthz/ready", "port": 15021}
    result = made(
        readiness_status_sidecar_istio_io__initialDelaySeconds="3",
        readiness_status_sidecar_istio_io__periodSeconds="5",
        readiness_status_sidecar_istio_io__failureThreshold="7",
    )
    probe = container(result)["readinessProbe"]
    assert (probe["initialDelaySeconds"], probe["periodSeconds"], probe["failureThreshold"]) == (3, 5, 7)
    assert "readinessProbe" not in container(made(status_sidecar_istio_io__port="0"))


def test_volumes_of_ones_own() -> None:
    result = made(
        sidecar_istio_io__userVolume='{"more": {"emptyDir": {}}}',
        sidecar_istio_io__userVolumeMount='{"more": {"mountPath": "/more"}}',
    )
    assert {"name": "more", "emptyDir": {}} in result["spec"]["volumes"]
    assert {"name": "more", "mountPath": "/more"} in container(result)["volumeMounts"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (f"{TRAFFIC}excludeOutboundPorts", "http", "'http' is not a port (1-65535)"),
        (f"{TRAFFIC}includeInboundPorts", "70000", "'70000' is not a port"),
        (f"{TRAFFIC}includeOutboundIPRanges", "10.0.0.0/99", "does not appear to be an IPv4 or IPv6 network"),
        (f"{SIDECAR}proxyCPU", "lots", "not a quantity; write it like 100m"),
        (f"{SIDECAR}logLevel", "loud", "not a log level; use one of"),
        (f"{SIDECAR}componentLogLevel", "upstream", "'upstream' is not COMPONENT:LEVEL"),
        (f"{SIDECAR}concurrency", "-1", "not a whole number"),
        (f"{SIDECAR}userVolume", "[]", "not a mapping"),
        ("status.sidecar.istio.io/port", "x", "not a whole number"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "1s", "not a whole number"),
        ("proxy.istio.io/config", "concurrency 2", "not a mapping; write it like"),
        ("proxy.istio.io/config", "{", "not YAML"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, value: str, words: str) -> None:
    with pytest.raises(AnnotationProblem) as caught:
        injected(pod(annotations={name: value}))
    assert str(caught.value).startswith(f"annotation {name}: {value!r}: ") and words in str(caught.value)
