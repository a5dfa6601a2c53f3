"""`meshctl cert`: the mesh's certificates. What there is, what expires when, and what to do about it."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mesh.citadel.settings import SERVICES
from mesh.cli import cert_data as data
from mesh.cli.cert_revoke import restore, revoke
from mesh.cli.cert_rotate import rotate_root
from mesh.cli.cert_texts import facts, left, moment
from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption, Output, OutputOption
from mesh.cli.output import print_json, print_table
from mesh.cli.platform import Platform
from mesh.pki.certificates import serial_of
from mesh.pki.spiffe import Identity

app = typer.Typer(help="Certificates of the mesh: list, show, forecast, revoke, restore, rotate the root.")
app.command("revoke")(revoke)
app.command("restore")(restore)
app.command("rotate-root")(rotate_root)


@app.command("list")
def list_(
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only of this namespace.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="Expired and untrusted ones too.")] = False,
    revoked: Annotated[bool, typer.Option("--revoked", help="Only revoked ones.")] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the certificates that Citadel has issued: whose, until when, valid or revoked."""
    now = datetime.now(UTC)
    with closing(Platform.connect(kubeconfig, context)) as platform:
        issued = data.Issued.read(platform)
    rows = [
        {
            "identity": line.identity,
            "serial": line.serial,
            "state": issued.state(line, now),
            "issued": moment(line.issued),
            "expires": moment(line.ends),
            "left": left(line.ends, now),
        }
        for line in issued.lines
        if namespace in (None, Identity.parse(line.identity).namespace)
    ]
    wanted = {"revoked"} if revoked else {"valid", "revoked"}
    rows = [row for row in rows if row["state"] in wanted or (every and not revoked)]
    if output is Output.JSON:
        print_json(rows)
        return
    columns = ("identity", "state", "left", "issued", "serial")
    print_table([column.upper() for column in columns], ([row[c] for c in columns] for row in rows))


@app.command("show")
def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="root|IDENTITY|SERIAL", help="The trust bundle, or who has which certificates."
        ),
    ] = "root",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what the mesh trusts and revoked (root), or the certificates of an identity or serial number."""
    with closing(Platform.connect(kubeconfig, context)) as platform:
        found = _trusted(platform) if what == "root" else _known(platform, what)
    if output is Output.JSON:
        print_json(found)
        return
    for number, entry in enumerate(found):
        if number:
            print()
        for name, value in entry.items():
            if value not in ("", [], None):
                print(f"{name + ':':12} {', '.join(value) if isinstance(value, list) else value}")


@app.command("forecast")
def forecast(
    within: Annotated[
        int | None, typer.Option("--within", metavar="DAYS", min=1, help="Only what ends in so many days.")
    ] = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Tell what expires when, the soonest first, and who renews it: roots, Secrets, workloads."""
    now = datetime.now(UTC)
    with closing(Platform.connect(kubeconfig, context)) as platform:
        rows = sorted(_expiring(platform, now), key=lambda row: row["expires"])
    if within is not None:
        rows = [row for row in rows if (row["expires"] - now).days < within]
    if output is Output.JSON:
        print_json([{**row, "expires": moment(row["expires"])} for row in rows])
        return
    print_table(
        ("WHAT", "NAME", "EXPIRES", "LEFT", "RENEWED BY"),
        (
            (row["what"], row["name"], moment(row["expires"]), left(row["expires"], now), row["renewedBy"])
            for row in rows
        ),
    )


def _trusted(platform: Platform) -> list[dict[str, Any]]:
    _, bundle = data.trust(platform)
    entries = [
        {"role": "root, issues now" if number == 0 else "root, trusted as well", **facts(certificate)}
        for number, certificate in enumerate(bundle.certificates)
    ]
    for entry in data.revocations(platform).values():
        serials = [f"{serial:x}" for serial in entry.serials or ()]
        entries.append(
            {
                "role": "revocation", "identity": entry.identity, "serials": serials,
                "reason": entry.reason, "time": moment(entry.time),
                "issuing": "denied" if entry.deny else "allowed",
            }
        )  # fmt: skip
    return entries


def _known(platform: Platform, what: str) -> list[dict[str, Any]]:
    now, issued = datetime.now(UTC), data.Issued.read(platform)
    lines = issued.of(data.named(what, issued.lines))
    if not lines:
        raise CommandError(
            f"the ledger has no certificate of {what}", remedy="see what there is: 'meshctl cert list --all'"
        )
    return [
        {
            "identity": line.identity, "serial": line.serial, "state": issued.state(line, now),
            "issuer": line.issuer, "issued": moment(line.issued), "expires": moment(line.ends),
            "left": left(line.ends, now), "reason": _reason(issued, line.serial),
        }
        for line in lines
    ]  # fmt: skip


def _reason(issued: data.Issued, serial: str) -> str:
    entry = issued.revoked.get(int(serial, 16))
    return f"{entry.reason}, at {moment(entry.time)}" if entry else ""


def _expiring(platform: Platform, now: datetime) -> Iterator[dict[str, Any]]:
    _, bundle = data.trust(platform)
    for certificate in bundle.certificates:
        yield _row("root", certificate.subject.rfc4514_string(), certificate.not_valid_after_utc, "Citadel")
    authority = data.authority(platform)
    if authority is not None and authority not in bundle.certificates:
        name = authority.subject.rfc4514_string()
        yield _row("authority", name, authority.not_valid_after_utc, "nobody: replace Secret cacerts")
    held = set()
    for name, kind, certificate in data.credentials(platform):
        held.add(serial_of(certificate))
        by = "Citadel" if kind.startswith("istio.io") else "nobody: replace the Secret"
        yield _row("Secret", name, certificate.not_valid_after_utc, by)
    issued = data.Issued.read(platform)
    lines = [line for line in issued.lines if issued.state(line, now) == "valid" and line.serial not in held]
    for identity, line in {line.identity: line for line in lines}.items():
        own = Identity.parse(identity).account in SERVICES
        yield _row("workload", identity, line.ends, "itself" if own else "its agent")


def _row(what: str, name: str, expires: datetime, by: str) -> dict[str, Any]:
    return {"what": what, "name": name, "expires": expires, "renewedBy": by}
