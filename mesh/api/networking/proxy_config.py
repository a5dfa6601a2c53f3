"""ProxyConfig: settings of the proxies of some workloads, taken up when their Pods start.

Source: Istio's reference of networking.istio.io/v1beta1 ProxyConfig; every field is named as there.
"""

from mesh.api.base import Count, Model
from mesh.api.selector import WorkloadSelector


class ProxyImage(Model):
    """Which image."""

    image_type: str = ""


class ProxyConfig(Model):
    """For the workloads of the selector, or for the namespace; in the root namespace for the mesh."""

    selector: WorkloadSelector | None = None
    concurrency: Count | None = None
    environment_variables: dict[str, str] = {}
    image: ProxyImage | None = None
