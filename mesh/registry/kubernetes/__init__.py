"""The Kubernetes registry: Services, EndpointSlices, Pods and Nodes to services, instances and workloads."""

from mesh.registry.kubernetes.registry import KubernetesRegistry

__all__ = ["KubernetesRegistry"]
