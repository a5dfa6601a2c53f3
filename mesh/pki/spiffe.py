"""Who a workload is: trust domain, namespace and service account, written as a SPIFFE URI.

Source: the SPIFFE-ID standard (characters of trust domain and path, length) and Istio's form of the path.
"""

import re
from dataclasses import dataclass

LONGEST = 2048  # bytes of a SPIFFE ID
_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """An identity. Raises `ValueError`, naming the part, if it could not be written as a SPIFFE URI.

    >>> str(Identity("cluster.local", "weather", "forecast"))
    'spiffe://cluster.local/ns/weather/sa/forecast'
    """

    trust_domain: str
    namespace: str
    account: str

    def __post_init__(self) -> None:
        if not _DOMAIN.fullmatch(self.trust_domain):
            raise ValueError(f"{self.trust_domain!r} is no trust domain: lower-case letters, digits, '.-_'")
        for name, value in (("namespace", self.namespace), ("service account", self.account)):
            if not _SEGMENT.fullmatch(value) or value in {".", ".."}:
                raise ValueError(f"{value!r} is no {name}: letters, digits, '.-_'")
        if len(self.uri) > LONGEST:
            raise ValueError(f"a SPIFFE ID has at most {LONGEST} characters, this one {len(self.uri)}")

    def __str__(self) -> str:
        return self.uri

    @property
    def uri(self) -> str:
        """`spiffe://<trust domain>/ns/<namespace>/sa/<account>`."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.account}"

    @classmethod
    def parse(cls, uri: str) -> "Identity":
        """Read the URI; `ValueError` says what is wrong with it."""
        parts = uri.split("/")
        if len(parts) != 7 or parts[0] != "spiffe:" or parts[1] or parts[3] != "ns" or parts[5] != "sa":
            raise ValueError(
                f"{uri[:200]!r} is no identity; expected spiffe://<trust domain>/ns/<namespace>/sa/<account>"
            )
        return cls(parts[2], parts[4], parts[6])
