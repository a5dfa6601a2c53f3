"""`meshctl status`: is the mesh well? Components, injected namespaces, proxies."""

from typing import Any

import typer

from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption, Output, OutputOption
from mesh.cli.output import print_json, print_table
from mesh.cli.platform import SYSTEM_NAMESPACE, Platform, is_ready


def status(
    kubeconfig: KubeconfigOption = None, context: ContextOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show the control plane's Deployments, the Pods of the mesh and whether their proxies are in sync.

    Exits with 1 if a component is not ready.
    """
    platform = Platform.connect(kubeconfig, context)
    components = deployments(platform)
    if not components:
        raise CommandError(
            f"no mesh is installed in namespace {SYSTEM_NAMESPACE}", remedy="install it: 'meshctl install'"
        )
    pods = mesh_pods(platform)
    if output is Output.JSON:
        print_json({"components": components, "pods": pods})
    else:
        print_table(("COMPONENT", "READY"), [(c["name"], f"{c['ready']}/{c['wanted']}") for c in components])
        print()
        print_table(
            ("POD", "NAMESPACE", "READY", "CONTAINERS", "PROXY"), [tuple(pod.values()) for pod in pods]
        )
    if any(c["ready"] < c["wanted"] for c in components):
        raise typer.Exit(1)


def deployments(platform: Platform) -> list[dict[str, Any]]:
    """The mesh's own Deployments with how many Pods are ready and wanted."""
    items = platform.get(f"/apis/apps/v1/namespaces/{SYSTEM_NAMESPACE}/deployments")["items"]
    return [
        {
            "name": item["metadata"]["name"],
            "ready": item.get("status", {}).get("readyReplicas", 0),
            "wanted": item["spec"].get("replicas", 1),
        }
        for item in items
    ]


def mesh_pods(platform: Platform) -> list[dict[str, Any]]:
    """Every Pod that has a proxy, with its containers and its proxy's sync state in one word."""
    states = sync_states(platform)
    return [
        {
            "name": pod["metadata"]["name"],
            "namespace": pod["metadata"]["namespace"],
            "ready": str(is_ready(pod)),
            "containers": ",".join(c["name"] for c in pod["spec"]["containers"]),
            "proxy": states.get(f"{pod['metadata']['name']}.{pod['metadata']['namespace']}", "NOT CONNECTED"),
        }
        for pod in platform.pods()
        if any(c["name"] == "istio-proxy" for c in pod["spec"]["containers"])
    ]


def sync_states(platform: Platform) -> dict[str, str]:
    """For each connected proxy the worst state over its types; empty if Pilot cannot be asked."""
    try:
        proxies = platform.pilot("GET", "/debug/syncz")
    except CommandError:
        return {}
    order = ("NACK", "STALE", "SYNCED")
    return {
        proxy["proxy"]: next(
            (s for s in order if any(t["status"] == s for t in proxy["types"].values())), "NOT_SENT"
        )
        for proxy in proxies
    }
