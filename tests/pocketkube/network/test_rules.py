"""Service rules as text, from Services and EndpointSlices."""

from __future__ import annotations

from typing import Any

import pytest

from pocketkube.network import frontends, rules
from pocketkube.network.frontends import Endpoint, Frontend

pytestmark = pytest.mark.behaviour("H1")


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return {
        "metadata": {"name": "web", "namespace": "weather"},
        "spec": {"clusterIP": "198.19.0.7", "ports": ports, **spec},
    }


def slice_of(*endpoints: dict[str, Any], port: int = 8080) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": "web"}
    return {
        "metadata": {"name": "web-1", "namespace": "weather", "labels": labels},
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions or {"ready": True}}


def build(made: dict[str, Any], *slices: dict[str, Any]) -> list[Frontend]:
    return list(frontends.build({("weather", "web"): made}, slices))


def test_a_frontend_joins_a_port_with_its_ready_endpoints() -> None:
    found = build(service(), slice_of(endpoint("198.18.1.2"), endpoint("198.18.1.3", ready=False)))
    assert found == [
        Frontend(("weather", "web"), "http", "tcp", 80, ("198.19.0.7",), (Endpoint("198.18.1.2", 8080),))
    ]


def test_without_ready_endpoints_those_that_still_serve_are_used() -> None:
    ending = endpoint("198.18.1.2", ready=False, serving=True, terminating=True)
    assert build(service(), slice_of(ending))[0].endpoints == (Endpoint("198.18.1.2", 8080),)


def test_load_balancer_and_external_addresses_count() -> None:
    made = service(externalIPs=["198.19.9.9"]) | {
        "status": {"loadBalancer": {"ingress": [{"ip": "198.19.255.1"}]}}
    }
    assert build(made, slice_of())[0].addresses == ("198.19.0.7", "198.19.9.9", "198.19.255.1")


def test_a_headless_service_has_no_frontend() -> None:
    assert build(service(clusterIP="None"), slice_of(endpoint("198.18.1.2"))) == []


def test_each_endpoint_is_as_likely_as_the_others() -> None:
    text = rules.render(build(service(), slice_of(*(endpoint(f"198.18.1.{n}") for n in (2, 3, 4)))))
    chances = [
        line.split("--probability ")[1].split()[0] for line in text.splitlines() if "--probability" in line
    ]
    assert chances == ["0.3333333333", "0.5000000000"]
    assert text.count("-j DNAT --to-destination 198.18.1.") == 3
    assert '-d 198.19.0.7/32 -p tcp --dport 80 -m comment --comment "weather/web:http"' in text


def test_a_service_without_endpoints_gets_no_translation() -> None:
    text = rules.render(build(service(), slice_of()))
    assert "198.19.0.7" not in text
    assert "--reject-with tcp-reset" in text


def test_affinity_remembers_the_client() -> None:
    text = rules.render(build(service(sessionAffinity="ClientIP"), slice_of(endpoint("198.18.1.2"))))
    assert "--rcheck --seconds 10800 --reap" in text
    assert "--set -j DNAT" in text


def test_the_same_state_gives_the_same_text() -> None:
    one, two = endpoint("198.18.1.2"), endpoint("198.18.1.3")
    assert rules.render(build(service(), slice_of(one, two))) == rules.render(
        build(service(), slice_of(two, one))
    )
