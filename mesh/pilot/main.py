"""Entry point of `pilot-discovery`: chooses what Pilot reads, puts it together and runs it until SIGTERM.

With `platform`, the only module of Pilot that knows where registry and configuration come from.
"""

import argparse
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh import program

if TYPE_CHECKING:
    from mesh.galley.source.files import FileSource
    from mesh.model.sources import ConfigSource, Registry
    from mesh.pilot.pilot import Listen, Pilot
    from mesh.pilot.settings import Settings

ROOT_CERT = Path("/var/run/secrets/istio/root-cert.pem")
TOKEN = Path("/var/run/secrets/tokens/istio-token")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit: 0 asked to end, 1 refused with a message, 2 wrong usage."""
    options = parser().parse_args(arguments)
    if problem := wrong(options):
        parser().error(problem)
    program.run("pilot-discovery", lambda: discovery(options), log_level=options.log_level)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        "pilot-discovery", description="Pilot: tells the proxies of a mesh what to do."
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser("discovery", help="serve xDS to proxies")
    one.add_argument("--listen", default="0.0.0.0", metavar="ADDRESS", help="where to listen")
    one.add_argument(
        "--xds-port", type=int, default=15010, metavar="PORT", help="plain xDS, on loopback; 0 takes any"
    )
    one.add_argument(
        "--secure-port", type=int, default=15012, metavar="PORT", help="xDS with mutual TLS; 0 takes any"
    )
    one.add_argument(
        "--debug-port", type=int, default=15014, metavar="PORT", help="metrics and /debug; 0 takes any"
    )
    one.add_argument("--mesh-config", type=Path, metavar="FILE", help="the mesh's settings, as YAML")
    one.add_argument("--kubeconfig", type=Path, metavar="FILE", help="read this cluster, from outside it")
    one.add_argument(
        "--config-files", type=Path, action="append", metavar="PATH", help="rules from files or folders"
    )
    one.add_argument("--registry-file", type=Path, metavar="FILE", help="services from a file")
    one.add_argument("--config-address", metavar="HOST:PORT", help="get configuration from this Galley")
    one.add_argument("--ca-address", metavar="HOST:PORT", help="get the certificate from this Citadel")
    one.add_argument(
        "--ca-mutual-port", type=int, default=8061, metavar="PORT", help="where Citadel renews certificates"
    )
    one.add_argument("--trust-domain", metavar="NAME", help="of Pilot's own identity; else the mesh's")
    one.add_argument("--namespace", default="istio-system", metavar="NAME", help="the mesh's own")
    one.add_argument("--account", default="istio-pilot", metavar="NAME", help="its service account")
    one.add_argument("--root-cert", type=Path, default=ROOT_CERT, metavar="FILE", help="trusted at first")
    one.add_argument("--token", type=Path, default=TOKEN, metavar="FILE", help="proves who asks Citadel")
    one.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return top


def wrong(options: argparse.Namespace) -> str:
    """Why options do not go together; empty if they do."""
    if options.config_address and not options.ca_address:
        return "--config-address needs --ca-address: Galley answers only whom it knows by a certificate"
    if options.ca_address and ":" not in options.ca_address:
        return f"--ca-address: {options.ca_address!r} is not HOST:PORT"
    return ""


async def discovery(options: argparse.Namespace) -> None:
    """Run Pilot until cancelled, or until one of its parts fails."""
    from mesh.pilot.pilot import Listen
    from mesh.pilot.settings import Settings

    settings = Settings(options.mesh_config)
    listen = Listen(options.listen, options.xds_port, options.debug_port, options.secure_port)
    chosen = from_files if options.config_files or options.registry_file else from_platform
    async with chosen(options, settings, listen) as pilot:
        await pilot.finished()


@asynccontextmanager
async def from_platform(
    options: argparse.Namespace, settings: "Settings", listen: "Listen"
) -> "AsyncIterator[Pilot]":
    """Pilot on a cluster; authenticated with a Citadel, and on a Galley's configuration if one is named."""
    from mesh.galley.client import ConfigClient
    from mesh.galley.source.kubernetes import KubernetesSource
    from mesh.pilot.platform import on_platform
    from mesh.pki.enrolled import Enrolment, enrolled
    from mesh.pki.spiffe import Identity
    from mesh.platform.client import connect

    domain = options.trust_domain or settings.current.trust_domain
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(options.kubeconfig))
        given: dict[str, Any] = {"domains": (domain,), "namespace": options.namespace}
        config: ConfigSource = KubernetesSource(client)
        if options.ca_address:
            own = Identity(domain, options.namespace, options.account)
            enrolment = Enrolment(
                options.ca_address, options.ca_mutual_port, options.root_cert, options.token
            )
            identity, trust = await stack.enter_async_context(enrolled(own, enrolment))
            given |= {"identity": identity, "trust": trust}
            if options.config_address:
                config = given["status"] = ConfigClient(options.config_address, identity, trust)
        yield await stack.enter_async_context(on_platform(client, config, settings, listen, **given))


@asynccontextmanager
async def from_files(
    options: argparse.Namespace, settings: "Settings", listen: "Listen"
) -> "AsyncIterator[Pilot]":
    """Pilot without a platform."""
    from mesh.pilot.assembly import assembled, with_settings
    from mesh.registry.entries import with_entries

    registry, config = files(options)
    compiler, world = assembled(with_entries(registry, config), config, settings)
    async with with_settings(world, compiler, settings, listen) as pilot:
        yield pilot


def files(options: argparse.Namespace) -> "tuple[Registry, FileSource]":
    """Registry and configuration from files, which must exist."""
    from mesh.galley.source.files import FileSource
    from mesh.registry.aggregate import AggregateRegistry
    from mesh.registry.static import StaticRegistry

    named = [*(options.config_files or ()), *([options.registry_file] if options.registry_file else ())]
    for path in named:
        if not path.exists():
            raise FileNotFoundError(2, "no such file or folder", str(path))
    registries = [StaticRegistry(options.registry_file)] if options.registry_file else []
    return AggregateRegistry(registries), FileSource(options.config_files or ())
