"""Entry point of `istiod`: the whole control plane in one process, as the profile `compact` runs it.

Puts Citadel, Galley, Pilot and the injector together; none of them knows of the others.
"""

import argparse
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from mesh import program
from mesh.tasks import Serving, any_finished

HTTPS_PORT = 9443


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM and exit: 0 asked to end, 1 refused with a message, 2 wrong usage."""
    options = parser().parse_args(arguments)
    program.run("istiod", lambda: run(options), log_level=options.log_level)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser("istiod", description="The mesh's control plane in one process.")
    top.add_argument("--mesh-config", type=Path, default=Path("/etc/istio/config/mesh"), metavar="FILE")
    top.add_argument("--injector-config", type=Path, default=Path("/etc/istio/inject"), metavar="FOLDER")
    top.add_argument("--namespace", default=os.environ.get("POD_NAMESPACE", "istio-system"), metavar="NAME")
    top.add_argument("--kubeconfig", type=Path, metavar="FILE", help="serve this cluster, from outside it")
    top.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return top


async def run(options: argparse.Namespace) -> None:
    """Run all parts until cancelled, or until one of them fails."""
    async with AsyncExitStack() as stack:
        await any_finished(await together(stack, options))


async def together(stack: AsyncExitStack, options: argparse.Namespace) -> list[Serving]:
    """Start Citadel, then those that need its certificates."""
    from mesh.citadel.citadel import serving as citadel_serving
    from mesh.citadel.settings import COMPACT, CitadelSettings
    from mesh.galley.galley import GalleySettings
    from mesh.galley.galley import serving as galley_serving
    from mesh.injector.main import https
    from mesh.injector.webhook import Injector
    from mesh.pilot.pilot import Listen
    from mesh.pilot.platform import on_platform
    from mesh.pilot.settings import Settings
    from mesh.platform.client import connect

    settings = Settings(options.mesh_config)
    domain = settings.current.trust_domain
    client = await stack.enter_async_context(connect(options.kubeconfig))
    citadel = await stack.enter_async_context(
        citadel_serving(
            CitadelSettings(
                namespace=options.namespace, trust_domain=domain, account="istio-pilot",
                services=COMPACT, http_port=None,
            ),
            client,
        )
    )  # fmt: skip
    galley = await stack.enter_async_context(
        galley_serving(
            GalleySettings(options.namespace, domain, webhook_port=None, http_port=None),
            client, citadel.identity, trust=citadel.trust,
        )
    )  # fmt: skip
    injector = Injector(options.injector_config, options.mesh_config)
    await stack.enter_async_context(
        https([*injector.routes(), *galley.webhook.routes()], citadel.identity, HTTPS_PORT)
    )
    pilot = await stack.enter_async_context(
        on_platform(
            client, galley.source, settings, Listen(),
            identity=citadel.identity, trust=citadel.trust, domains=(domain,), status=galley.status,
            namespace=options.namespace, follow_trust=False,
            further_metrics=(citadel.metrics.registry, galley.metrics.registry),
        )
    )  # fmt: skip
    return [citadel, galley, pilot]


if __name__ == "__main__":
    main()
