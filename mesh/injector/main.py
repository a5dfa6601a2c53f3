"""Entry point of `sidecar-injector`: the webhook's server, with a certificate from Citadel."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from mesh import program
from mesh.injector.webhook import LARGEST_BODY, Injector
from mesh.model.trust import TrustBundle
from mesh.pki.enrolled import ROOT_CERT, TOKEN, Enrolment, enrolled
from mesh.pki.holder import Holder
from mesh.pki.log import Log
from mesh.pki.serving import server_context
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust
from mesh.ports import bound

POLL = 1.0  # seconds between looks at the mounted root

log = Log("injector")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM; exit with 1 and a message if that cannot be done."""
    options = parser().parse_args(arguments)
    program.run("sidecar-injector", lambda: serve(options))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser("sidecar-injector", description="The webhook that adds sidecars.")
    top.add_argument("--port", type=int, default=9443)
    top.add_argument("--http-port", type=int, default=15014, metavar="PORT", help="readiness; 0 takes any")
    top.add_argument("--config", type=Path, default=Path("/etc/istio/inject"), metavar="FOLDER")
    top.add_argument("--mesh-config", type=Path, default=Path("/etc/istio/config/mesh"), metavar="FILE")
    top.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "istio-system"), metavar="NAME")
    top.add_argument("--account", default="istio-sidecar-injector", metavar="NAME")
    top.add_argument("--trust-domain", default="cluster.local", metavar="NAME")
    top.add_argument("--ca-address", default="istio-citadel.istio-system.svc:8060", metavar="HOST:PORT")
    top.add_argument("--ca-mutual-port", type=int, default=8061, metavar="PORT")
    top.add_argument("--root-cert", type=Path, default=ROOT_CERT, metavar="FILE")
    top.add_argument("--token", type=Path, default=TOKEN, metavar="FILE")
    return top


async def serve(options: argparse.Namespace) -> None:
    """Read the settings, get a certificate, then serve until cancelled."""
    injector = Injector(options.config, options.mesh_config)
    identity = Identity(options.trust_domain, options.namespace, options.account)
    enrolment = Enrolment(options.ca_address, options.ca_mutual_port, options.root_cert, options.token)
    async with (
        enrolled(identity, enrolment) as (holder, trust),
        https(injector.routes(), holder, options.port),
        http(options.http_port),
    ):
        await follow(trust, options.root_cert)


async def follow(trust: Trust, root_cert: Path, *, poll: float = POLL) -> None:
    """Trust what the mounted ConfigMap says, until cancelled; what was known stays if it cannot be read."""
    told = ""
    while True:
        await asyncio.sleep(poll)
        try:
            trust.replace(bundle_in(root_cert))
            told = ""
        except (OSError, ValueError) as error:
            if str(error) != told:
                log.warning("root not taken over", file=str(root_cert), error=str(error))
            told = str(error)


def bundle_in(root_cert: Path) -> TrustBundle:
    """What a mounted root makes trusted."""
    return TrustBundle(root_cert.read_text())


@asynccontextmanager
async def https(
    routes: Iterable[web.AbstractRouteDef], identity: Holder, port: int, host: str | None = None
) -> AsyncIterator[int]:
    """Serve webhooks with the certificate that the identity has at each moment; the port."""
    app = web.Application(client_max_size=LARGEST_BODY)
    app.add_routes(routes)
    async with bound(app, host, port, tls=server_context(identity), what="webhooks") as taken:
        yield taken


@asynccontextmanager
async def http(port: int) -> AsyncIterator[int]:
    """Serve readiness, in clear text for the kubelet: the webhook is served already; the port."""

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ready\n")

    app = web.Application()
    app.add_routes([web.get("/ready", ready)])
    async with bound(app, None, port) as taken:
        yield taken


if __name__ == "__main__":
    main()
