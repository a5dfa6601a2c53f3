"""config.istio.io: Mixer's handlers, instances and rules, its quotas, and the older kinds of each adapter."""

from mesh.api.mixer.attributes import AttributeManifest
from mesh.api.mixer.parts import (
    Action,
    Handler,
    HeaderOperation,
    Instance,
    Parameters,
    Rule,
    Sampling,
)
from mesh.api.mixer.quota import QuotaSpec, QuotaSpecBinding

__all__ = [
    "Action",
    "AttributeManifest",
    "Handler",
    "HeaderOperation",
    "Instance",
    "Parameters",
    "QuotaSpec",
    "QuotaSpecBinding",
    "Rule",
    "Sampling",
]
