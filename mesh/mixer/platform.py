"""What a Mixer knows the mesh by: registry, configuration, certificate and trust.

With the programs' `main` modules, the only one of Mixer that knows where these come from.
"""

import argparse
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from mesh.api.kinds import MIXER, NETWORKING, TELEMETRY, WATCHED, Kind
from mesh.galley.client import ConfigClient
from mesh.galley.source.files import FileSource
from mesh.galley.source.kubernetes import KubernetesSource
from mesh.galley.trust import followed
from mesh.mixer.domains import Domains
from mesh.mixer.world import World
from mesh.model.sources import ConfigSource
from mesh.pki.enrolled import MUTUAL_PORT, ROOT_CERT, TOKEN, Enrolment, enrolled
from mesh.pki.holder import Holder
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust
from mesh.platform.client import connect
from mesh.registry.aggregate import AggregateRegistry
from mesh.registry.entries import with_entries
from mesh.registry.kubernetes import KubernetesRegistry
from mesh.registry.static import StaticRegistry
from mesh.tasks import background, unless_failed

ENTRIES = frozenset({"ServiceEntry", "WorkloadEntry"})


def kinds() -> Iterable[Kind]:
    """What a Mixer reads: its own kinds, Telemetry, and services outside the platform."""
    return [
        each
        for each in WATCHED
        if each.group in {MIXER, TELEMETRY} or (each.group == NETWORKING and each.kind in ENTRIES)
    ]


def add_options(parser: argparse.ArgumentParser, account: str) -> None:
    """The options that both programs have."""
    add = parser.add_argument
    add("--listen", default="0.0.0.0", metavar="ADDRESS", help="where to listen")
    add("--grpc-port", type=int, default=15004, metavar="PORT", help="for proxies; 0 takes any")
    add("--http-port", type=int, default=15014, metavar="PORT", help="metrics and /debug; 0 takes any")
    add("--kubeconfig", type=Path, metavar="FILE", help="read this cluster, from outside it")
    add("--config-files", type=Path, action="append", metavar="PATH", help="rules from files or folders")
    add(
        "--registry-file",
        type=Path,
        metavar="FILE",
        help="services from a file; gRPC is plain then",
    )
    add("--config-address", metavar="HOST:PORT", help="get configuration from this Galley")
    add("--ca-address", metavar="HOST:PORT", help="get certificates from this Citadel")
    add("--ca-mutual-port", type=int, default=MUTUAL_PORT, metavar="PORT", help="where it renews them")
    add("--ca-name", default="", metavar="NAME", help="in Citadel's certificate, if it is not HOST")
    add("--trust-domain", default="cluster.local", metavar="NAME", help="of the mesh")
    add("--mesh-config", type=Path, metavar="FILE", help="the mesh's settings: aliases of its trust domain")
    add("--namespace", default="istio-system", metavar="NAME", help="the mesh's own; its rules are for all")
    add("--account", default=account, metavar="NAME", help="its service account")
    add("--root-cert", type=Path, default=ROOT_CERT, metavar="FILE", help="trusted at first")
    add("--token", type=Path, default=TOKEN, metavar="FILE", help="proves who asks Citadel")
    add("--folder", type=Path, default=Path("/tmp"), metavar="FOLDER", help="for files of handlers")
    add("--log-level", default="info", choices=("debug", "info", "warning", "error"))


def wrong(options: argparse.Namespace) -> str:
    """Why options do not go together; empty if they do."""
    if options.config_address and not options.ca_address:
        return "--config-address needs --ca-address: Galley answers only whom it knows by a certificate"
    if options.ca_address and ":" not in options.ca_address:
        return f"--ca-address: {options.ca_address!r} is not HOST:PORT"
    if not options.ca_address and not options.registry_file:
        return "--ca-address is missing: proxies are served with a certificate; or give --registry-file"
    return ""


@asynccontextmanager
async def mixer_world(options: argparse.Namespace) -> AsyncIterator[World]:
    """The world, once it is known; kept up to date by its `tasks` until the end of the block.

    Raises `FileNotFoundError` for files that do not exist, and what a source raises that cannot be read.
    """
    async with AsyncExitStack() as stack:
        made = await (_from_files(options) if options.registry_file else _from_platform(stack, options))
        made.tasks += [
            background(stack, made.registry.run(), "registry"),
            background(stack, made.config.run(), "config"),
        ]
        await unless_failed(_synced(made), made.tasks)
        yield made


async def _synced(world: World) -> None:
    await world.registry.synced.wait()
    await world.config.synced.wait()


async def _from_files(options: argparse.Namespace) -> World:
    for path in [*(options.config_files or ()), options.registry_file]:
        if not path.exists():
            raise FileNotFoundError(2, "no such file or folder", str(path))
    config = FileSource(options.config_files or ())
    registry = with_entries(AggregateRegistry([StaticRegistry(options.registry_file)]), config)
    return World(registry, config)


async def _from_platform(stack: AsyncExitStack, options: argparse.Namespace) -> World:
    client = await stack.enter_async_context(connect(options.kubeconfig))
    own = Identity(options.trust_domain, options.namespace, options.account)
    enrolment = Enrolment(
        options.ca_address, options.ca_mutual_port, options.root_cert, options.token, options.ca_name
    )
    identity, trust = await stack.enter_async_context(enrolled(own, enrolment))
    await stack.enter_async_context(followed(client, trust, options.namespace))
    await identity.first()
    config = _config(client, options, identity, trust)
    domains = Domains(options.trust_domain, options.mesh_config)
    return World(with_entries(KubernetesRegistry(client), config), config, identity, trust, domains=domains)


def _config(client: object, options: argparse.Namespace, identity: Holder, trust: Trust) -> ConfigSource:
    if options.config_address:
        return ConfigClient(options.config_address, identity, trust, kinds=kinds())
    return KubernetesSource(client, kinds=kinds())
