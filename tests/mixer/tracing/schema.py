"""Zipkin's published schema of a span, as far as it can be checked of JSON.

Source: github.com/openzipkin/zipkin-api, zipkin2-api.yaml, definitions Span, Endpoint, Annotation, Tags.
Stricter than it in one thing: a field that it does not know fails.
"""

from typing import Any

import jsonschema_rs

ENDPOINT = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "serviceName": {"type": "string"},
        "ipv4": {"type": "string", "format": "ipv4"},
        "ipv6": {"type": "string", "format": "ipv6"},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    },
}
ID = {"type": "string", "pattern": "^[a-f0-9]{16}$"}
SPAN = {
    "type": "object",
    "additionalProperties": False,
    "required": ["traceId", "id"],
    "properties": {
        "traceId": {"type": "string", "pattern": "^([a-f0-9]{16}|[a-f0-9]{32})$"},
        "id": ID,
        "parentId": ID,
        "name": {"type": "string"},
        "kind": {"enum": ["CLIENT", "SERVER", "PRODUCER", "CONSUMER"]},
        "timestamp": {"type": "integer", "minimum": 1},
        "duration": {"type": "integer", "minimum": 1},
        "debug": {"type": "boolean"},
        "shared": {"type": "boolean"},
        "localEndpoint": ENDPOINT,
        "remoteEndpoint": ENDPOINT,
        "annotations": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["timestamp", "value"],
                "properties": {"timestamp": {"type": "integer"}, "value": {"type": "string"}},
            },
        },
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
SPANS = jsonschema_rs.validator_for({"type": "array", "items": SPAN}, validate_formats=True)


def valid(spans: Any) -> Any:
    """The spans, if they are as the schema says."""
    SPANS.validate(spans)
    return spans
