"""Where a resource comes from, written into its metadata as Istio does (`filter_metadata.istio`)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from envoy.config.core.v3 import base_pb2
from google.protobuf.struct_pb2 import Struct

from mesh.model import ObjectKey, Service

FILTER = "istio"
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def config_path(key: ObjectKey) -> str:
    """The path of a configuration object, as Istio writes it: kind in kebab-case.

    >>> config_path(ObjectKey("VirtualService", "weather", "forecast"))
    '/apis/networking.istio.io/v1/namespaces/weather/virtual-service/forecast'
    """
    kind = _WORD.sub("-", key.kind).lower()
    return f"/apis/networking.istio.io/v1/namespaces/{key.namespace}/{kind}/{key.name}"


def of(
    *,
    config: ObjectKey | None = None,
    services: Iterable[Service] = (),
    subset: str = "",
    port: int | None = None,
) -> base_pb2.Metadata | None:
    """The metadata of a resource; None if there is nothing to say."""
    content: dict[str, Any] = {}
    if config is not None:
        content["config"] = config_path(config)
    if subset:
        content["subset"] = subset
    if port is not None:
        content["default_original_port"] = port
    named = [service_metadata(each) for each in services]
    if named:
        content["services"] = named
    return metadata(content) if content else None


def of_service(service: Service) -> base_pb2.Metadata:
    """Metadata that names a service."""
    return metadata({"services": [service_metadata(service)]})


def metadata(content: Mapping[str, Any]) -> base_pb2.Metadata:
    """Values under the mesh's key."""
    struct = Struct()
    struct.update(content)
    return base_pb2.Metadata(filter_metadata={FILTER: struct})


def service_metadata(service: Service) -> dict[str, str]:
    """What a resource says of a service that it serves."""
    return {"host": service.hostname, "name": service.name, "namespace": service.namespace}
