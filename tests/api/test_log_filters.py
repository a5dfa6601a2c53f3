"""O2: conditions of access logs are held against CEL's grammar before Envoy sees them."""

from typing import Any

import pytest

from mesh.api.errors import ConfigError
from mesh.api.parse import parse_object

pytestmark = pytest.mark.behaviour("O2")


def telemetry(expression: str) -> dict[str, Any]:
    return {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": "logs", "namespace": "weather"},
        "spec": {"accessLogging": [{"filter": {"expression": expression}}]},
    }


@pytest.mark.parametrize("text", ["response.code >= 400", "request.headers['x'] == 'y' || !connection.mtls"])
def test_an_expression_is_taken(text: str) -> None:
    assert parse_object(telemetry(text)).spec.access_logging[0].filter.expression == text


@pytest.mark.parametrize("text", ["response.code >=", "a b", ""])
def test_what_envoy_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"spec\.accessLogging\[0\]\.filter\.expression: is no CEL"):
        parse_object(telemetry(text))
