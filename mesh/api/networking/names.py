"""Names that rules give of other objects: namespaces to export to, gateways, secrets.

Source: Istio's references of networking.istio.io (`exportTo`, `gateways`, `credentialName`).
"""

import re
from collections.abc import Iterator, Sequence

from mesh.api.checks import Fault

_NAMESPACE = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_LABEL = re.compile(r"^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?\Z")
ALL, OWN, NOBODY = "*", ".", "~"
PEM = "-----BEGIN"


def bad_export(values: Sequence[str]) -> Iterator[Fault]:
    """What is wrong with `exportTo`."""
    for index, each in enumerate(values):
        if each not in {ALL, OWN, NOBODY} and not _NAMESPACE.match(each):
            remedy = "write '.' for the own namespace, '*' for all, or a namespace's name"
            yield Fault(f"exportTo[{index}]", f"{each!r} is no namespace", remedy)
        elif each in values[:index]:
            yield Fault(f"exportTo[{index}]", f"{each!r} stands twice", "leave one out")
    if ALL in values and len(values) > 1:
        yield Fault("exportTo", "names '*' and others beside it", "leave the others out")


def bad_gateways(values: Sequence[str], path: str = "gateways") -> Iterator[Fault]:
    """What is wrong with names of gateways."""
    for index, each in enumerate(values):
        namespace, slash, name = each.rpartition("/")
        if not _NAME.match(name) or (slash and not (_NAMESPACE.match(namespace) or namespace == OWN)):
            remedy = "write 'mesh' for the sidecars, NAME or NAMESPACE/NAME for gateways"
            yield Fault(f"{path}[{index}]", f"{each!r} is no name of a gateway", remedy)


def bad_secret(name: str | None, path: str) -> Iterator[Fault]:
    """What is wrong with a name of a Secret."""
    if not name:
        return
    if PEM in name:
        remedy = "put it into a Secret, and name the Secret"
        yield Fault(path, "holds a key or certificate itself", remedy)
    elif "://" not in name and not _NAME.match(name):
        remedy = "write the name alone; the Secret lies in the namespace of the gateway's Pods"
        yield Fault(path, f"{name!r} is no name of a Secret", remedy)


def bad_file(name: str | None, path: str) -> Iterator[Fault]:
    """What is wrong with the path of a file with a key or certificate."""
    if name and PEM in name:
        yield Fault(
            path, "holds a key or certificate itself", "use credentialName, or name a file of the Pod"
        )


def bad_label(name: str, path: str) -> Iterator[Fault]:
    """What is wrong with a name that becomes part of a host name."""
    if not _LABEL.match(name):
        yield Fault(path, f"{name!r} is no name", "use letters, digits and '-', 63 characters at the most")
