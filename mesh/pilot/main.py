"""Entry point of `pilot-discovery`: chooses what Pilot reads, puts it together and runs it until SIGTERM.

The only module of Pilot that knows where registry and configuration come from.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.model import ObjectKey
    from mesh.model.sources import Changes, ConfigSource, Registry
    from mesh.pilot.compile import Compiler
    from mesh.pilot.settings import Settings
    from mesh.pilot.world import World


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit: 0 asked to end, 1 refused with a message, 2 wrong usage."""
    options = parser().parse_args(arguments)
    from mesh.pilot.log import configure

    configure(options.log_level)
    try:
        asyncio.run(discovery(options))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(f"pilot-discovery {options.verb}: {_explained(error)}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        "pilot-discovery", description="Pilot: tells the proxies of a mesh what to do."
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser("discovery", help="serve xDS to proxies")
    one.add_argument("--listen", default="0.0.0.0", metavar="ADDRESS", help="where to listen")
    one.add_argument("--xds-port", type=int, default=15010, metavar="PORT", help="xDS; 0 takes any")
    one.add_argument(
        "--debug-port", type=int, default=15014, metavar="PORT", help="metrics and /debug; 0 takes any"
    )
    one.add_argument("--mesh-config", type=Path, metavar="FILE", help="the mesh's settings, as YAML")
    one.add_argument("--kubeconfig", type=Path, metavar="FILE", help="read this cluster, from outside it")
    one.add_argument(
        "--config-files", type=Path, action="append", metavar="PATH", help="rules from files or folders"
    )
    one.add_argument("--registry-file", type=Path, metavar="FILE", help="services from a file")
    one.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return top


async def discovery(options: argparse.Namespace) -> None:
    """Run Pilot until SIGTERM or SIGINT, or until one of its parts fails."""
    from mesh.pilot.pilot import Listen, serving
    from mesh.pilot.settings import Settings

    leaving = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leaving.set)
    settings = Settings(options.mesh_config)
    listen = Listen(options.listen, options.xds_port, options.debug_port)
    async with AsyncExitStack() as stack:
        registry, config = await stack.enter_async_context(sources(options))
        compiler, world = assembled(registry, config, settings)
        starting = asyncio.ensure_future(stack.enter_async_context(serving(world, compiler, listen)))
        if not await _unless(leaving, starting):
            return
        pilot = starting.result()
        pilot.tasks.append(asyncio.create_task(settings.run(pilot.pushes.changed)))
        await _unless(leaving, asyncio.ensure_future(pilot.finished()))
        pilot.tasks.pop().cancel()


async def _unless(leaving: asyncio.Event, work: asyncio.Future[Any]) -> bool:
    """Wait for work, but not longer than until the end is asked for; whether it was done."""
    asked = asyncio.ensure_future(leaving.wait())
    await asyncio.wait({asked, work}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if work.done():
        work.result()
        return True
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return False


@asynccontextmanager
async def sources(options: argparse.Namespace) -> "AsyncIterator[tuple[Registry, ConfigSource]]":
    """What to read: files if any are named, the cluster otherwise."""
    if options.config_files or options.registry_file:
        yield from_files(options)
        return
    from mesh.galley.source.kubernetes import KubernetesSource
    from mesh.platform.client import connect
    from mesh.registry.kubernetes import KubernetesRegistry

    async with connect(options.kubeconfig) as client:
        yield KubernetesRegistry(client), KubernetesSource(client)


def from_files(options: argparse.Namespace) -> "tuple[Registry, ConfigSource]":
    """Registry and configuration without a platform; files that are named must exist."""
    from mesh.galley.source.files import FileSource
    from mesh.registry.aggregate import AggregateRegistry
    from mesh.registry.static import StaticRegistry

    named = [*(options.config_files or ()), *([options.registry_file] if options.registry_file else ())]
    for path in named:
        if not path.exists():
            raise FileNotFoundError(2, "no such file or folder", str(path))
    registries = [StaticRegistry(options.registry_file)] if options.registry_file else []
    return AggregateRegistry(registries), FileSource(options.config_files or ())


def assembled(registry: "Registry", config: "ConfigSource", settings: "Settings") -> "tuple[Compiler, World]":
    """The compiler, and the world that makes snapshots of registry and configuration."""
    from mesh.api.kinds import BY_KIND
    from mesh.pilot.compile import Compiler
    from mesh.pilot.snapshot import Snapshot
    from mesh.pilot.world import World

    def make(previous: Snapshot | None, keys: "frozenset[ObjectKey]", changes: "Changes") -> Snapshot:
        return Snapshot.build(previous, registry, config, settings.current, changes, keys)

    return Compiler(), World(registry, config, make, config_kinds=frozenset(BY_KIND))


def _explained(error: BaseException) -> str:
    """The message of what went wrong first. A fault of ours is in the log as well."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if type(error).__module__.startswith("mesh."):
        return str(error)
    import structlog

    structlog.get_logger(component="pilot").error("failed", exc_info=error)
    return f"{type(error).__name__}: {error}"
