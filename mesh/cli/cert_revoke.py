"""`meshctl cert revoke` and `restore`."""

import hashlib
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from mesh.citadel.revocations import REASONS, Revocation
from mesh.citadel.settings import SERVICES
from mesh.cli import cert_data as data
from mesh.cli.cert_barrier import in_force, listed, poll, until_gone, until_listed
from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption, Output, OutputOption
from mesh.cli.output import print_json
from mesh.cli.platform import SYSTEM_NAMESPACE, Platform
from mesh.pki.spiffe import Identity

DRAIN = 10
"""Seconds in which proxies end the connections of before (ProxyConfig.drainDuration's default)."""

WhatArgument = Annotated[
    str,
    typer.Argument(metavar="IDENTITY|SERIAL", help="spiffe://..., NAMESPACE/ACCOUNT, or a serial number."),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait until it is in force."),
]


def revoke(
    what: WhatArgument,
    reason: Annotated[str, typer.Option("--reason", help=f"One of: {', '.join(REASONS)}.")] = "keyCompromise",
    allow_renewal: Annotated[
        bool, typer.Option("--allow-renewal", help="Of an identity: its workloads may get new certificates.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also what the ledger does not know, or the mesh stands on.")
    ] = False,
    timeout: TimeoutOption = 60.0,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Revoke a certificate, or all of an identity, and wait until every proxy and gateway refuses them.

    A revoked identity gets no new certificate either, unless --allow-renewal is given. After this returns
    the next handshake fails everywhere; connections of before end within the drain time (10 s by default).
    """
    if reason not in REASONS:
        raise CommandError(
            f"{reason!r} is no reason that a CRL knows", remedy=f"use one of: {', '.join(REASONS)}"
        )
    deadline = time.monotonic() + timeout
    with closing(Platform.connect(kubeconfig, context)) as platform:
        issued = data.Issued.read(platform)
        subject = data.named(what, issued.lines)
        listed(platform)  # is revocation possible at all
        if not force:
            refuse_mistakes(subject, issued)
        entry = entry_of(subject, reason, deny=not allow_renewal)
        data.write_revocations(platform, {entry.key: entry.text()})
        serials = completed(platform, entry, deadline)
        version = until_listed(platform, live(serials, issued), deadline)
        answer = in_force(platform, version, deadline)
    report(output, f"revoked {what}", entry, serials, answer)


def restore(
    what: WhatArgument,
    timeout: TimeoutOption = 60.0,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take back a revocation: certificates that have not expired count again, and new ones are issued."""
    deadline = time.monotonic() + timeout
    with closing(Platform.connect(kubeconfig, context)) as platform:
        subject = data.named(what, data.Issued.read(platform).lines)
        entries = data.revocations(platform)
        entry = entries.pop(key_of(subject), None)
        if entry is None:
            raise CommandError(f"{what} is not revoked", remedy="see what is: 'meshctl cert list --revoked'")
        data.write_revocations(platform, {entry.key: None})
        still = {serial for each in entries.values() for serial in each.serials or ()}
        version = until_gone(platform, set(entry.serials or ()) - still, deadline)
        answer = in_force(platform, version, deadline)
    report(output, f"restored {what}", entry, entry.serials or (), answer)


def refuse_mistakes(subject: Identity | str, issued: data.Issued) -> None:
    """Refuse what is probably not meant: an unknown certificate, or one that the mesh stands on."""
    lines = issued.of(subject)
    if not lines:
        raise CommandError(
            f"the ledger has no certificate of {subject}",
            remedy="see 'meshctl cert list --all'; --force revokes it all the same",
        )
    identity = Identity.parse(lines[0].identity)
    if identity.namespace == SYSTEM_NAMESPACE and identity.account in SERVICES:
        raise CommandError(
            f"{identity} is the control plane's own; without it no proxy gets configuration or certificates",
            remedy="--force revokes it all the same",
        )


def entry_of(subject: Identity | str, reason: str, *, deny: bool) -> Revocation:
    """The entry that revokes a subject."""
    key, now = key_of(subject), datetime.now(UTC)
    if isinstance(subject, Identity):
        return Revocation(key, subject.uri, None, reason, now, deny)
    return Revocation(key, "", (int(subject, 16),), reason, now, deny=False)


def key_of(subject: Identity | str) -> str:
    """The key of a subject's entry in the ConfigMap."""
    if isinstance(subject, str):
        return f"serial-{subject}"
    return f"identity-{hashlib.sha256(subject.uri.encode()).hexdigest()[:24]}"


def completed(platform: Platform, entry: Revocation, deadline: float) -> tuple[int, ...]:
    """The serial numbers that an entry means, once Citadel has written them."""
    if entry.serials is not None:
        return entry.serials

    def look() -> tuple[tuple[int, ...]] | None:
        found = data.revocations(platform).get(entry.key)
        return (found.serials,) if found and found.serials is not None else None

    (serials,) = poll(look, deadline, "Citadel to find the identity's certificates")
    return tuple(serials)


def live(serials: tuple[int, ...], issued: data.Issued) -> set[int]:
    """Those that are on a list: not what the ledger knows to have expired."""
    now = datetime.now(UTC)
    ended = {int(line.serial, 16) for line in issued.lines if line.ends <= now}
    return set(serials) - ended


def report(
    output: Output, done: str, entry: Revocation, serials: tuple[int, ...], answer: dict[str, object]
) -> None:
    """Say what was done, and to how many."""
    proxies = answer.get("proxies") or ()
    count = len(proxies) if isinstance(proxies, list | tuple | dict) else 0
    if output is Output.JSON:
        print_json(
            {
                "done": done, "reason": entry.reason, "denied": entry.deny,
                "serials": [f"{each:x}" for each in serials], "proxies": count, "drainSeconds": DRAIN,
            }
        )  # fmt: skip
        return
    noun = "certificate" if len(serials) == 1 else "certificates"
    print(f"{done}: {len(serials)} {noun}, in force at {count} prox{'y' if count == 1 else 'ies'}")
    if done.startswith("revoked"):
        print(f"  connections of before end within {DRAIN} s (the proxies' drainDuration)")
        if entry.deny:
            print("  no new certificate is issued to it until 'meshctl cert restore'")
