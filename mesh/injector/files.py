"""`kube-inject`: injection of the workloads in a manifest, without a cluster."""

from typing import Any

import yaml

from mesh.injector.annotations import AnnotationProblem
from mesh.injector.inject import inject
from mesh.injector.settings import Settings

TEMPLATES = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
ENABLED = {"istio-injection": "enabled"}


class ManifestProblem(Exception):
    """The manifest cannot be injected; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def inject_yaml(text: str, settings: Settings | None = None) -> str:
    """The manifest with a sidecar in every workload (Pod, Deployment, ..., List) that does not refuse it.

    Raises `ManifestProblem` with the place of what is wrong.
    """
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise ManifestProblem(f"this is not YAML: {error}", "mend the line that is named") from None
    settings = settings or Settings()
    injected = [inject_object(document, settings) for document in documents if document is not None]
    return yaml.safe_dump_all(injected, sort_keys=False)


def inject_object(obj: Any, settings: Settings) -> Any:
    """One object, with a sidecar if it is a workload; others come back as they are."""
    if not isinstance(obj, dict) or not {"apiVersion", "kind"} <= set(obj):
        raise ManifestProblem(
            f"{str(obj)[:60]!r} is no Kubernetes object", "every document needs apiVersion and kind"
        )
    if obj["kind"] == "List":
        return {**obj, "items": [inject_object(item, settings) for item in obj.get("items") or ()]}
    path = TEMPLATES.get(obj["kind"])
    return obj if path is None else at(obj, path, obj, settings)


def at(
    node: dict[str, Any], way: tuple[str, ...], owner: dict[str, Any], settings: Settings
) -> dict[str, Any]:
    """The same object with the template at `way` injected."""
    name = f"{owner['kind']} {(owner.get('metadata') or {}).get('name', '')}"
    if way:
        inner = node.get(way[0])
        if not isinstance(inner, dict):
            raise ManifestProblem(f"{name}: {way[0]} is missing", f"a {owner['kind']} has {'.'.join(way)}")
        return {**node, way[0]: at(inner, way[1:], owner, settings)}
    if not isinstance(node.get("spec"), dict) or not node["spec"].get("containers"):
        raise ManifestProblem(
            f"{name}: its Pod has no spec.containers", "indent spec beside metadata, not inside it"
        )
    metadata = owner.get("metadata") or {}
    namespace, own = metadata.get("namespace", "default"), metadata.get("name", "")
    path = f"{owner['apiVersion']}/namespaces/{namespace}/{owner['kind'].lower()}s/{own}"
    workload = (own, f"kubernetes://apis/{path}")
    try:
        return inject(node, settings, namespace=namespace, namespace_labels=ENABLED, workload=workload)[0]
    except AnnotationProblem as error:
        raise ManifestProblem(f"{name}: {error}", "mend the annotation") from None
