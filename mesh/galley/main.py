"""Entry point of `galley`: validation, configuration server and status, until SIGTERM."""

import argparse
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mesh import program

if TYPE_CHECKING:
    from mesh.galley.settings import GalleySettings
    from mesh.pki.holder import Holder
    from mesh.pki.trust import Trust


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit: 0 asked to end, 1 refused with a message, 2 wrong usage."""
    options = parser().parse_args(arguments)
    program.run("galley", lambda: run(options), log_level=options.log_level)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser("galley", description="Galley: configuration, validated and handed on.")
    top.add_argument("--listen", default="0.0.0.0", metavar="ADDRESS", help="where to listen")
    top.add_argument("--webhook-port", type=int, default=9443, metavar="PORT", help="the validating webhook")
    top.add_argument("--config-port", type=int, default=9901, metavar="PORT", help="configuration over gRPC")
    top.add_argument("--http-port", type=int, default=15014, metavar="PORT", help="metrics and readiness")
    top.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "istio-system"), metavar="NAME")
    top.add_argument("--account", default=os.environ.get("SERVICE_ACCOUNT", "istio-galley"), metavar="NAME")
    top.add_argument(
        "--trust-domain", default=os.environ.get("TRUST_DOMAIN", "cluster.local"), metavar="NAME"
    )
    top.add_argument(
        "--ca-address", default="istio-citadel.istio-system.svc:8060", metavar="HOST:PORT", help="Citadel"
    )
    top.add_argument(
        "--ca-name", default="", metavar="NAME", help="in Citadel's certificate, if it is not HOST"
    )
    top.add_argument("--ca-mutual-port", type=int, default=8061, metavar="PORT")
    top.add_argument(
        "--root-cert", type=Path, default=Path("/var/run/secrets/istio/root-cert.pem"), metavar="FILE"
    )
    top.add_argument(
        "--token", type=Path, default=Path("/var/run/secrets/tokens/istio-token"), metavar="FILE"
    )
    top.add_argument("--kubeconfig", type=Path, metavar="FILE", help="serve this cluster, from outside it")
    top.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return top


def settings_of(options: argparse.Namespace) -> "GalleySettings":
    """The settings that the command line chooses."""
    from mesh.galley.settings import GalleySettings

    return GalleySettings(
        namespace=options.namespace,
        trust_domain=options.trust_domain,
        host=options.listen,
        webhook_port=options.webhook_port,
        config_port=options.config_port,
        http_port=options.http_port,
    )


async def run(options: argparse.Namespace) -> None:
    """Serve until cancelled, or until a part fails."""
    from mesh.galley.galley import serving
    from mesh.platform.client import connect

    async with (
        connect(options.kubeconfig) as client,
        certified(options, client) as (identity, trust),
        serving(settings_of(options), client, identity, trust=trust) as galley,
    ):
        await galley.finished()


@asynccontextmanager
async def certified(options: argparse.Namespace, client: object) -> "AsyncIterator[tuple[Holder, Trust]]":
    """Galley's certificate from Citadel, kept fresh, and the mesh's trust, which it follows."""
    from mesh.galley.trust import followed
    from mesh.pki.enrolled import Enrolment, enrolled
    from mesh.pki.spiffe import Identity

    identity = Identity(options.trust_domain, options.namespace, options.account)
    enrolment = Enrolment(
        options.ca_address, options.ca_mutual_port, options.root_cert, options.token, options.ca_name
    )
    async with (
        enrolled(identity, enrolment) as (holder, trust),
        followed(client, trust, options.namespace),
    ):
        yield holder, trust


if __name__ == "__main__":
    main()
