"""Entry point of `istio-citadel`: runs the certificate authority until SIGTERM."""

import argparse
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mesh import program

if TYPE_CHECKING:
    from mesh.citadel.settings import CitadelSettings

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit: 0 asked to end, 1 refused with a message, 2 wrong usage."""
    options = parser().parse_args(arguments)
    program.run("istio-citadel", lambda: run(options), log_level=options.log_level)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser("istio-citadel", description="Citadel: the mesh's certificate authority.")
    top.add_argument("--listen", default="0.0.0.0", metavar="ADDRESS", help="where to listen")
    top.add_argument("--token-port", type=int, default=8060, metavar="PORT", help="CSRs with a token")
    top.add_argument("--mutual-port", type=int, default=8061, metavar="PORT", help="CSRs with a certificate")
    top.add_argument("--http-port", type=int, default=15014, metavar="PORT", help="metrics and readiness")
    top.add_argument("--namespace", default="istio-system", metavar="NAME", help="the mesh's own")
    top.add_argument("--account", default="istio-citadel", metavar="NAME", help="its service account")
    top.add_argument("--trust-domain", default="cluster.local", metavar="NAME")
    top.add_argument("--cluster-domain", default="cluster.local", metavar="NAME")
    top.add_argument("--algorithm", default="ecdsa-p256", help="of a self-signed root")
    top.add_argument("--root-lifetime", type=duration, default=timedelta(days=3650), metavar="DURATION")
    top.add_argument("--workload-lifetime", type=duration, default=timedelta(hours=24), metavar="DURATION")
    top.add_argument("--longest-lifetime", type=duration, default=timedelta(days=90), metavar="DURATION")
    top.add_argument("--no-secrets", action="store_true", help="make no Secrets istio.<account>")
    top.add_argument("--kubeconfig", type=Path, metavar="FILE", help="serve this cluster, from outside it")
    top.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return top


def duration(text: str) -> timedelta:
    """Read `90s`, `30m`, `24h` or `3650d`; argparse shows the `ArgumentTypeError`."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.isdigit() or not int(number) or len(number) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 30m, 24h or 365d")
    return timedelta(seconds=int(number) * UNITS[unit])


def settings_of(options: argparse.Namespace) -> "CitadelSettings":
    """The settings that the command line chooses."""
    from mesh.citadel.settings import CitadelSettings

    return CitadelSettings(
        namespace=options.namespace,
        trust_domain=options.trust_domain,
        cluster_domain=options.cluster_domain,
        account=options.account,
        algorithm=options.algorithm,
        root_lifetime=options.root_lifetime,
        workload_lifetime=options.workload_lifetime,
        longest_lifetime=options.longest_lifetime,
        host=options.listen,
        token_port=options.token_port,
        mutual_port=options.mutual_port,
        http_port=options.http_port,
        classic_secrets=not options.no_secrets,
    )


async def run(options: argparse.Namespace) -> None:
    """Serve until cancelled, or until a part fails."""
    from mesh.citadel.citadel import serving
    from mesh.platform.client import connect

    async with connect(options.kubeconfig) as client, serving(settings_of(options), client) as citadel:
        await citadel.finished()


if __name__ == "__main__":
    main()
