"""Bad input gets one clear message with object, field and remedy, and leaves the mesh as it was."""

from typing import Any

import pytest

from e2e.helpers import split, to_forecast, virtual_service
from pytest_mesh import ApiRefused, HarnessError, NotInForce, NotReady, all_ok, versions
from pytest_mesh.demo import Weather

pytestmark = pytest.mark.behaviour("H2")
REFUSED = (ApiRefused, NotInForce)


def wrong(**http: Any) -> dict[str, Any]:
    return virtual_service("forecast", "forecast", [{"route": to_forecast(v2=100), **http}])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (virtual_service("forecast", "forecast", [{"routes": to_forecast(v2=100)}]), "routes"),
        (wrong(timeout="5 parsecs"), "timeout"),
        (wrong(match=[{"uri": {"regex": "("}}]), "regex"),
        (virtual_service("forecast", "forecast", [{"route": to_forecast(v1=-5)}]), "weight"),
        (wrong(match=[{"uri": {"exact": "/a", "prefix": "/b"}}]), "uri"),
        (virtual_service("forecast", "not a host", [{"route": to_forecast(v1=1)}]), "hosts"),
        (wrong(fault={"abort": {"httpStatus": 99, "percentage": {"value": 10}}}), "httpStatus"),
        (wrong(retries={"attempts": "three"}), "attempts"),
    ],
    ids=["unknown field", "duration", "regex", "weight", "two of one", "host", "status", "type"],
)
def test_a_wrong_rule_is_refused_with_its_field_and_the_old_one_stays(
    weather: Weather, rule: dict[str, Any], words: str
) -> None:
    weather.mesh.apply(split(v1=100))
    with pytest.raises(REFUSED) as caught:
        weather.mesh.apply(rule, timeout=10)
    assert "forecast" in str(caught.value)
    assert words in str(caught.value)
    weather.client.get(weather.forecast, count=10).check(all_ok(), versions("v1"))


def test_an_unknown_image_names_the_known_ones_and_the_remedy(weather: Weather) -> None:
    labels = {"app": "mystery"}
    container = {"name": "app", "image": "nobody/knows:1"}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    metadata = {"name": "mystery", "namespace": "weather"}
    with pytest.raises(NotReady, match=r"ImagePull.*nobody/knows:1.*meshwright/weather:0.1.0"):
        weather.mesh.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}, timeout=3
        )


RULE = "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: x, namespace: weather}}"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {{name: x, namespace: {namespace}}}\nspec: {spec}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RULE.format(kind="VirtualServise"), "no kind 'VirtualServise'"),
        ("kind: VirtualService", "no apiVersion or no kind"),
        ("kind: [", "not YAML"),
        (SERVICE.format(namespace="nowhere", spec="{ports: [{port: 80}]}"), "nowhere"),
        (SERVICE.format(namespace="weather", spec="{prots: []}"), "prots"),
    ],
    ids=["kind", "no object", "no YAML", "namespace", "field"],
)
def test_yaml_that_cannot_be_applied_says_why(weather: Weather, text: str, words: str) -> None:
    with pytest.raises(HarnessError, match=words):
        weather.mesh.apply(text)
