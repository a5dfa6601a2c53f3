"""`meshctl proxy-config`: what one Envoy holds right now, read from the proxy itself."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption, Output, OutputOption
from mesh.cli.output import print_json, print_table
from mesh.cli.platform import Platform

PROXY_CONTAINER = "istio-proxy"

app = typer.Typer(
    help="Show what one proxy's Envoy holds: listeners, routes, clusters or endpoints.", no_args_is_help=True
)

PodArgument = Annotated[
    str, typer.Argument(metavar="POD[.NAMESPACE]", help="The Pod, the start of its name, or deploy/NAME.")
]
NamespaceFlag = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="The Pod's namespace.")]


@app.command()
def listeners(
    pod: PodArgument, namespace: NamespaceFlag = "", kubeconfig: KubeconfigOption = None,
    context: ContextOption = None, output: OutputOption = Output.TABLE,
) -> None:  # fmt: skip
    """The listeners, with their addresses and where each filter chain leads."""
    found = list(
        listeners_of(envoy(kubeconfig, context, pod, namespace, "config_dump?resource=dynamic_listeners"))
    )
    rows = ((one["name"], address_of(one["address"]), " ".join(destinations_of(one)) or "-") for one in found)
    show(output, found, ("NAME", "ADDRESS", "DESTINATIONS"), rows)


@app.command()
def routes(
    pod: PodArgument, namespace: NamespaceFlag = "", kubeconfig: KubeconfigOption = None,
    context: ContextOption = None, output: OutputOption = Output.TABLE,
) -> None:  # fmt: skip
    """The routes: virtual host, match, where it goes, and the VirtualService that said so."""
    found = [
        entry["route_config"]
        for entry in envoy(kubeconfig, context, pod, namespace, "config_dump?resource=dynamic_route_configs")
    ]
    rows = (
        (config["name"], host["name"], match_of(route["match"]), target_of(route), rule_of(route))
        for config in found
        for host in config.get("virtual_hosts", [])
        for route in host.get("routes", [])
    )
    show(output, found, ("ROUTE", "VIRTUAL HOST", "MATCH", "DESTINATION", "RULE"), rows, ordered=True)


@app.command()
def clusters(
    pod: PodArgument, namespace: NamespaceFlag = "", kubeconfig: KubeconfigOption = None,
    context: ContextOption = None, output: OutputOption = Output.TABLE,
) -> None:  # fmt: skip
    """The clusters: direction, port, subset and host of each, its type and load balancer."""
    found = [
        entry["cluster"]
        for entry in envoy(
            kubeconfig, context, pod, namespace, "config_dump?resource=dynamic_active_clusters"
        )
    ]
    rows = (
        (*name_parts(one["name"]), one.get("type", "STATIC"), one.get("lb_policy", "ROUND_ROBIN"))
        for one in found
    )
    show(output, found, ("DIRECTION", "PORT", "SUBSET", "HOST", "TYPE", "BALANCER"), rows)


@app.command()
def endpoints(
    pod: PodArgument, namespace: NamespaceFlag = "", kubeconfig: KubeconfigOption = None,
    context: ContextOption = None, output: OutputOption = Output.TABLE,
) -> None:  # fmt: skip
    """The endpoints of each cluster with Envoy's own view of their health."""
    found = envoy(kubeconfig, context, pod, namespace, "clusters?format=json", key="cluster_statuses")
    rows = (
        (address_of(host["address"]), health_of(host), one["name"])
        for one in found
        for host in one.get("host_statuses", [])
    )
    show(output, found, ("ENDPOINT", "HEALTH", "CLUSTER"), rows)


def show(
    output: Output,
    found: list[Any],
    columns: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    *,
    ordered: bool = False,
) -> None:
    """Print what was found, as a table or as JSON; rows that mean something in their order keep it."""
    if output is Output.JSON:
        print_json(found)
    else:
        print_table(columns, rows if ordered else sorted(rows))


def envoy(
    kubeconfig: KubeconfigOption,
    context: ContextOption,
    pod: str,
    namespace: str,
    path: str,
    *,
    key: str = "configs",
) -> list[Any]:
    """Ask a Pod's Envoy over its admin interface; the list under `key` of its answer."""
    platform = Platform.connect(kubeconfig, context)
    name, place = find_pod(platform, pod, namespace)
    result = platform.exec(place, name, PROXY_CONTAINER, ["pilot-agent", "request", "GET", path])
    if result.exit_code:
        words = result.stderr.strip() or result.stdout.strip()
        raise CommandError(
            f"Pod {place}/{name}: Envoy did not answer: {words}",
            remedy=f"see 'kubectl -n {place} logs {name} -c {PROXY_CONTAINER}'",
        )
    answer: list[Any] = json.loads(result.stdout).get(key, [])
    return answer


def find_pod(platform: Platform, wanted: str, namespace: str) -> tuple[str, str]:
    """Name and namespace of the one Pod with a proxy that `name`, `name.namespace` or a start of it means."""
    name, _, place = wanted.rpartition("/")[2].partition(".")
    place = namespace or place
    proxied = [
        pod["metadata"]
        for pod in platform.pods(place)
        if any(
            c["name"] == PROXY_CONTAINER
            for c in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
        )
    ]
    found = [meta for meta in proxied if meta["name"] == name] or [
        m for m in proxied if m["name"].startswith(name)
    ]
    if len(found) != 1:
        names = ", ".join(sorted(f"{m['name']}.{m['namespace']}" for m in found or proxied)) or "none"
        raise CommandError(
            f"{len(found) or 'no'} Pods with a proxy match {wanted!r}", remedy=f"name one of: {names}"
        )
    return found[0]["name"], found[0]["namespace"]


def listeners_of(dump: list[Any]) -> Iterator[dict[str, Any]]:
    """The active listeners of a config dump."""
    for entry in dump:
        if "active_state" in entry:
            yield entry["active_state"]["listener"]


def destinations_of(listener: dict[str, Any]) -> list[str]:
    """Where a listener's filter chains lead: routes and clusters, each once, in order."""
    chains = [
        *listener.get("filter_chains", []),
        *([c] if (c := listener.get("default_filter_chain")) else []),
    ]
    names = [
        name
        for chain in chains
        for f in chain.get("filters", [])
        if (name := filter_target(f.get("typed_config", {})))
    ]
    return list(dict.fromkeys(names))


def filter_target(config: dict[str, Any]) -> str:
    """The route or cluster that a network filter sends to; empty if it sends nowhere."""
    if "rds" in config:
        return f"route:{config['rds']['route_config_name']}"
    if "route_config" in config:
        return f"inline:{config['route_config'].get('name', '')}"
    return f"cluster:{config['cluster']}" if "cluster" in config else ""


def address_of(address: dict[str, Any]) -> str:
    """An Envoy address as text."""
    if "socket_address" in address:
        return f"{address['socket_address']['address']}:{address['socket_address'].get('port_value', 0)}"
    return str(address.get("pipe", {}).get("path") or address.get("envoy_internal_address", {}))


def match_of(match: dict[str, Any]) -> str:
    """A route's match in short form."""
    for key, sign in (("prefix", "*"), ("path_separated_prefix", "/*"), ("path", "")):
        if key in match:
            text = f"{match[key]}{sign}"
            break
    else:
        text = f"~{match['safe_regex']['regex']}" if "safe_regex" in match else str(sorted(match))
    headers = [h["name"] for h in match.get("headers", [])]
    return f"{text} [{', '.join(headers)}]" if headers else text


def target_of(route: dict[str, Any]) -> str:
    """Where a route sends: a cluster, weighted clusters, a redirect or a direct answer."""
    action = route.get("route", {})
    if "weighted_clusters" in action:
        return " ".join(f"{c['name']}={c.get('weight', 0)}" for c in action["weighted_clusters"]["clusters"])
    if "cluster" in action:
        return str(action["cluster"])
    return next((kind for kind in ("redirect", "direct_response") if kind in route), "-")


def rule_of(route: dict[str, Any]) -> str:
    """The VirtualService a route came from, as `name.namespace`; `-` for the default route."""
    path = route.get("metadata", {}).get("filter_metadata", {}).get("istio", {}).get("config", "")
    parts = path.split("/")
    return f"{parts[-1]}.{parts[parts.index('namespaces') + 1]}" if "namespaces" in parts else "-"


def name_parts(name: str) -> tuple[str, str, str, str]:
    """Direction, port, subset and host of a cluster's name (`outbound|3002|v1|forecast...`)."""
    if name.count("|") == 3:
        direction, port, subset, host = name.split("|")
        return direction, port, subset or "-", host or "-"
    return "-", "-", "-", name


def health_of(host: dict[str, Any]) -> str:
    """Envoy's verdict on an endpoint: healthy, or what is against it."""
    status = host.get("health_status", {})
    faults = [key.removeprefix("failed_") for key, value in status.items() if value is True]
    eds = status.get("eds_health_status", "HEALTHY")
    return ",".join(faults) or eds
