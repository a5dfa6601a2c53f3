"""What the mesh is about: services, instances, proxies, configuration objects. Values only.

Nothing here reads a platform, knows Envoy or does I/O; every value is immutable and hashable, so that
snapshots share them and comparison decides what has changed.
"""

from mesh.model.config import ConfigObject, ObjectKey
from mesh.model.labels import Labels
from mesh.model.locality import Locality
from mesh.model.protocol import Protocol
from mesh.model.proxy import Proxy, ProxyKind
from mesh.model.service import Instance, Port, Resolution, Service, Workload

__all__ = [
    "ConfigObject",
    "Instance",
    "Labels",
    "Locality",
    "ObjectKey",
    "Port",
    "Protocol",
    "Proxy",
    "ProxyKind",
    "Resolution",
    "Service",
    "Workload",
]
