"""The way in to the running mesh from this machine, as long as it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVICE = ("istio-system", "istio-ingressgateway")
PORT = 80


@contextmanager
def gateway(kubeconfig: Path) -> Iterator[str]:
    """`http://host:port` of the ingress gateway: a load balancer, a forwarded port, or an embedded cluster's.

    Raises `ClusterFailed` if there is no mesh, or no way to it.
    """
    from pytest_mesh.clusters.embedded import PORTS, embedded_url
    from pytest_mesh.clusters.kubeconfig import Existing
    from pytest_mesh.kube import Api

    namespace, name = SERVICE
    api = Api(kubeconfig)
    try:
        service = api.find(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name}}
        )
    finally:
        api.close()
    if PORTS in ((service or {}).get("metadata", {}).get("annotations") or {}):
        yield embedded_url(kubeconfig, namespace, name, PORT)
        return
    cluster = Existing(kubeconfig)
    try:
        yield cluster.url_of(namespace, name, PORT)
    finally:
        cluster.stop()
