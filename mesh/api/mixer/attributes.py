"""attributemanifest: the attributes that rules may speak of, with their types.

Source: Istio 1.6's reference of config.istio.io/v1alpha2 AttributeManifest; every field is named as there.
"""

from typing import Literal

from mesh.api.base import Model

ValueType = Literal[
    "VALUE_TYPE_UNSPECIFIED", "STRING", "INT64", "DOUBLE", "BOOL", "TIMESTAMP", "IP_ADDRESS",
    "EMAIL_ADDRESS", "URI", "DNS_NAME", "DURATION", "STRING_MAP",
]  # fmt: skip


class AttributeInfo(Model):
    """An attribute's type."""

    description: str = ""
    value_type: ValueType = "VALUE_TYPE_UNSPECIFIED"


class AttributeManifest(Model):
    """Attributes by name."""

    revision: str = ""
    name: str = ""
    attributes: dict[str, AttributeInfo] = {}
