"""Workloads and services as attributes: one truth for Mixer, which looks them up, and for Pilot.

Source: Istio 1.6, attribute vocabulary (`source.*`, `destination.*`, `destination.service.*`).
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from mesh.model.service import Service, Workload

UID = "kubernetes://"
API_OF_OWNER = {
    "Pod": "v1",
    "ReplicationController": "v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
}
"""API of a workload's owner; apps/v1 for all others."""

Attributes = Mapping[str, Any]


def uid(workload: Workload) -> str:
    """`kubernetes://<pod>.<namespace>`."""
    return f"{UID}{workload.name}.{workload.namespace}"


def workload_attributes(side: str, workload: Workload) -> Attributes:
    """What is known of a workload; `side` is `source` or `destination`."""
    owner = workload.owner_name or workload.name
    return {
        f"{side}.uid": uid(workload),
        f"{side}.name": workload.name,
        f"{side}.namespace": workload.namespace,
        f"{side}.ip": packed(workload.address),
        f"{side}.labels": dict(workload.labels),
        f"{side}.owner": owner_uid(workload),
        f"{side}.workload.uid": f"istio://{workload.namespace}/workloads/{owner}",
        f"{side}.workload.name": owner,
        f"{side}.workload.namespace": workload.namespace,
    }


def owner_uid(workload: Workload) -> str:
    """`kubernetes://apis/apps/v1/namespaces/<namespace>/deployments/<name>` and the like."""
    kind = workload.owner_kind or "Pod"
    api = API_OF_OWNER.get(kind, "apps/v1")
    name = workload.owner_name or workload.name
    return f"{UID}apis/{api}/namespaces/{workload.namespace}/{kind.lower()}s/{name}"


def service_attributes(service: Service) -> Attributes:
    """What is known of a service."""
    return {
        "destination.service.host": service.hostname,
        "destination.service.name": service.name,
        "destination.service.namespace": service.namespace,
        "destination.service.uid": f"istio://{service.namespace}/services/{service.name}",
    }


def packed(address: str) -> bytes | None:
    """An address as the bytes that IP_ADDRESS attributes hold; None for what is no address."""
    try:
        return ip_address(address).packed
    except ValueError:
        return None
