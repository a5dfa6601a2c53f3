"""Waiting until what Citadel publishes is what was asked for, and in force at every proxy."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from mesh.citadel.publishing import NAME as TRUST
from mesh.citadel.publishing import bundle_of
from mesh.cli.cert_data import trust_map
from mesh.cli.errors import CommandError, NotInForce
from mesh.cli.platform import SYSTEM_NAMESPACE, Platform
from mesh.cli.wait import explain, remedy_of
from mesh.pki.bundle import load_lists

LOOK = 0.2  # seconds between looks at the platform


def poll(look: Callable[[], Any], deadline: float, what: str) -> Any:
    """The first true value of `look`; `NotInForce` says what was waited for when the time is over."""
    while not (found := look()):
        if time.monotonic() > deadline:
            raise NotInForce(
                f"not in time: {what}", remedy="is istio-citadel ready? see 'meshctl status' and its log"
            )
        time.sleep(LOOK)
    return found


def listed(platform: Platform) -> tuple[set[int], str]:
    """The serial numbers on every published list, and the resourceVersion of istio-trust.

    `CommandError` if nothing can be revoked because an authority may not sign lists.
    """
    found = trust_map(platform)
    lists = load_lists(bundle_of(found).crl.encode())
    if not lists:
        raise CommandError(
            "nothing can be revoked: the authority's certificate may not sign revocation lists",
            remedy="give it one with the key usage cRLSign: Secret cacerts, or 'meshctl cert rotate-root'",
        )
    everywhere = set.intersection(*({entry.serial_number for entry in each} for each in lists))
    return everywhere, str(found["metadata"]["resourceVersion"])


def until_listed(platform: Platform, serials: Iterable[int], deadline: float) -> str:
    """Wait until the lists hold all of these; the resourceVersion that does."""
    wanted = set(serials)
    return str(
        poll(lambda: _version(platform, lambda on: wanted <= on), deadline, "Citadel to publish the CRL")
    )


def until_gone(platform: Platform, serials: Iterable[int], deadline: float) -> str:
    """Wait until the lists hold none of these; the resourceVersion that does not."""
    unwanted = set(serials)
    return str(
        poll(lambda: _version(platform, lambda on: not unwanted & on), deadline, "Citadel to publish the CRL")
    )


def _version(platform: Platform, good: Callable[[set[int]], bool]) -> str | None:
    on, version = listed(platform)
    return version if good(on) else None


def in_force(platform: Platform, version: str, deadline: float) -> dict[str, Any]:
    """Wait until istio-trust is in force at every proxy, in that version or a later one; Pilot's answer."""
    left = max(deadline - time.monotonic(), 1.0)
    wanted = {
        "kind": "ConfigMap",
        "namespace": SYSTEM_NAMESPACE,
        "name": TRUST,
        "resourceVersion": version,
    }
    request = {"objects": [wanted], "timeoutSeconds": left}
    answer: dict[str, Any] = platform.pilot("POST", "/debug/in-force", request, timeout=left + 10)
    if answer["state"] != "in-force":
        raise NotInForce(
            f"published, but not in force everywhere: {explain(answer)}", remedy=remedy_of(answer)
        )
    return answer
