"""`meshctl cert rotate-root`."""

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mesh.citadel.state import ROTATE, ROTATED, SECRET, STATUS, annotation
from mesh.cli import cert_data as data
from mesh.cli.cert_barrier import LOOK
from mesh.cli.errors import CommandError, NotInForce
from mesh.cli.options import ContextOption, KubeconfigOption
from mesh.cli.platform import Platform


def rotate_root(
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to follow it.")
    ] = 600.0,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it until it is done.")] = True,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Replace the self-signed root: both are trusted, then the new one issues, then the old one goes.

    Each phase begins when the one before is in force everywhere. It goes on if this command is ended.
    """
    with closing(Platform.connect(kubeconfig, context)) as platform:
        wish = wished(platform)
        if wait:
            follow(platform, wish, time.monotonic() + timeout)


def wished(platform: Platform) -> str:
    """Wish for a rotation, unless one is under way; what it is known by."""
    state = _secret(platform)
    if _running(state):
        print("a rotation is under way already; following it")
        return annotation(state, ROTATE)
    wish = datetime.now(UTC).isoformat()
    patch = {"metadata": {"annotations": {ROTATE: wish}}}
    platform.request("PATCH", f"{data.SECRETS}/{SECRET}", patch, content=data.MERGE)
    return wish


def follow(platform: Platform, wish: str, deadline: float) -> None:
    """Print each phase once, until the wish is fulfilled; `NotInForce` when the time is over."""
    said = ""
    while annotation(state := _secret(platform), ROTATED) != wish:
        status = annotation(state, STATUS)
        if status.startswith("refused"):
            raise CommandError(f"the root is not rotated: {status}", remedy="see 'meshctl cert show root'")
        if status not in ("", "steady", said):
            said = status
            print(status)
        if time.monotonic() > deadline:
            raise NotInForce(
                f"the rotation has not ended in time; {said or 'Citadel has not begun'}",
                remedy="it goes on by itself; run the command again to follow it",
            )
        time.sleep(LOOK)
    _, bundle = data.trust(platform)
    print(f"done: the root is {bundle.certificates[0].subject.rfc4514_string()}")


def _running(state: dict[str, Any]) -> bool:
    return annotation(state, ROTATE) not in ("", annotation(state, ROTATED))


def _secret(platform: Platform) -> dict[str, Any]:
    found = data.optional(platform, data.SECRETS, SECRET)
    if found is None:
        raise CommandError(
            f"there is no Secret {SECRET}: Citadel has not made its authority",
            remedy="is the mesh installed, and istio-citadel ready? see 'meshctl status'",
        )
    return found
