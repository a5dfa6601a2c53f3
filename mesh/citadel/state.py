"""What must not be lost: the authorities, in the Secret istio-ca-secret; and how one replaces another.

Every change is a comparison and a swap on the Secret, so that two Citadels (an update runs two for a moment)
never go different ways.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cryptography import x509

from mesh.citadel import pems
from mesh.citadel.authority import Authority
from mesh.citadel.kube import Obj, decoded, encoded

SECRET = "istio-ca-secret"
OPERATOR_SECRET = "cacerts"
TYPE = "istio.io/ca-root"
ROTATE = "trust.istio.io/rotate"  # set by who wants a new root: a moment
ROTATED = "trust.istio.io/rotated"  # the wish that was fulfilled last
STATUS = "trust.istio.io/status"  # where a rotation stands, for people


@dataclass(frozen=True)
class State:
    """The authority that issues, and the one that is coming or going.

    With `next`, both are trusted and the present one issues. With `old`, the new one issues and the old
    one is still trusted. With neither, nothing is going on.
    """

    issuing: Authority
    next: Authority | None = None
    old: Authority | None = None

    @property
    def authorities(self) -> tuple[Authority, ...]:
        """All that sign or have signed, the issuing one first."""
        return tuple(each for each in (self.issuing, self.next, self.old) if each)

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """What is trusted, the root of the issuing authority first."""
        return tuple(dict.fromkeys(root for each in self.authorities for root in each.roots))

    @property
    def phase(self) -> str:
        """Where it stands: `steady`, `distributing` the coming root, or `replacing` certificates."""
        return "distributing" if self.next else "replacing" if self.old else "steady"

    def begin(self, coming: Authority) -> "State":
        """Trust another authority as well."""
        return replace(self, next=coming)

    def switch(self) -> "State":
        """Issue from the coming one."""
        assert self.next is not None
        return State(self.next, old=self.issuing)

    def finish(self) -> "State":
        """Trust the old one no more."""
        return State(self.issuing)

    def data(self) -> dict[str, str]:
        """As the Secret holds it."""
        return encoded(
            {name: text for names, each in self._parts() for name, text in pems.written(each, names).items()}
        )

    def _parts(self) -> Iterator[tuple[pems.Names, Authority]]:
        for names, each in ((pems.OPERATOR, self.issuing), (pems.NEXT, self.next), (pems.OLD, self.old)):
            if each is not None:
                yield names, each

    @classmethod
    def parse(cls, secret: Obj, where: str) -> "State":
        """Read the Secret; raises `BadAuthority` with the key that cannot be used."""
        data = decoded(secret)
        others = {
            names: pems.read(data, where, names) if names.cert in data else None
            for names in (pems.NEXT, pems.OLD)
        }
        return cls(pems.read(data, where), others[pems.NEXT], others[pems.OLD])


def annotation(obj: Obj | None, name: str) -> str:
    """An annotation's value; empty if it is not there."""
    return str(((obj or {}).get("metadata", {}).get("annotations") or {}).get(name, ""))
