"""Entry point of `istio-policy`: puts it together and runs it until SIGTERM."""

import argparse
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mesh import program

if TYPE_CHECKING:
    from mesh.mixer.core import Following
    from mesh.mixer.peers import Peers
    from mesh.mixer.platform import World
    from mesh.mixer.policy.gate import Limits
    from mesh.mixer.policy.server import PolicyServer
    from mesh.tasks import Task

LOOPBACK = "127.0.0.1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit: 0 asked to end, 1 refused with a message, 2 wrong usage."""
    from mesh.mixer.platform import wrong

    options = parser().parse_args(arguments)
    if problem := wrong(options):
        parser().error(problem)
    program.run("istio-policy", lambda: policy(options), log_level=options.log_level)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from mesh.mixer.platform import add_options
    from mesh.mixer.policy.checker import CACHED
    from mesh.mixer.policy.gate import Limits
    from mesh.mixer.policy.server import DEADLINE

    made = argparse.ArgumentParser("istio-policy", description="Checks calls before they are forwarded.")
    add_options(made, "istio-policy")
    add, usual = made.add_argument, Limits()
    add("--deadline", type=float, default=DEADLINE, metavar="SECONDS", help="for all handlers of a check")
    add("--check-cache", type=int, default=CACHED, metavar="N", help="answers kept for use again; 0: none")
    add("--max-checks", type=int, default=usual.together, metavar="N", help="checks under way at once")
    add("--max-waiting", type=int, default=usual.waiting, metavar="N", help="checks that wait beyond these")
    add("--max-wait", type=float, default=usual.patience, metavar="SECONDS", help="how long they wait")
    return made


async def policy(options: argparse.Namespace) -> None:
    """Run until cancelled, or until a part fails."""
    from mesh.mixer.platform import mixer_world
    from mesh.mixer.policy.gate import Limits

    limits = Limits(options.max_checks, options.max_waiting, options.max_wait)
    listen = Listen(
        options.listen, options.grpc_port, options.http_port, options.trust_domain, options.namespace,
        options.folder, options.deadline, options.check_cache,
    )  # fmt: skip
    async with mixer_world(options) as world, serving(world, listen, limits=limits) as running:
        await running.finished()


@dataclass(frozen=True, slots=True)
class Listen:
    """Where and how to serve; port 0 takes any that is free."""

    host: str = "0.0.0.0"
    grpc: int = 15004
    http: int = 15014
    trust_domain: str = "cluster.local"
    namespace: str = "istio-system"
    folder: Path = Path("/tmp")
    deadline: float = 0.8
    cached: int = 10_000


@dataclass(slots=True)
class Policy:
    """A running istio-policy; `grpc` and `http` are the ports that it has."""

    following: "Following"
    grpc: int
    http: int
    tasks: "list[Task]"

    async def finished(self) -> None:
        """Wait until one of its tasks fails, and raise what it raised."""
        from mesh.tasks import first_failure

        await first_failure(self.tasks)


@asynccontextmanager
async def serving(world: "World", listen: Listen, *, limits: "Limits | None" = None) -> AsyncIterator[Policy]:
    """Run istio-policy on a world; it serves once the rules are in force. Raises `CannotListen`."""
    import structlog
    from prometheus_client import CollectorRegistry

    from mesh.mixer.attributes.check import CheckAttributes
    from mesh.mixer.attributes.workload import Workloads
    from mesh.mixer.core import Following
    from mesh.mixer.handlers import Surroundings
    from mesh.mixer.metrics import HandlerMetrics
    from mesh.mixer.policy.checker import Checker
    from mesh.mixer.policy.metrics import PolicyMetrics
    from mesh.mixer.policy.server import PolicyServer
    from mesh.mixer.window import app, bound, shown
    from mesh.rules.registry import adapters
    from mesh.rules.templates import Variety
    from mesh.tasks import background, unless_failed

    registry = CollectorRegistry()
    around = Surroundings(HandlerMetrics(registry), listen.folder)
    following = Following(
        world.config, adapters(), around, (Variety.CHECK, Variety.QUOTA), root_namespace=listen.namespace
    )
    metrics = PolicyMetrics(registry)
    server = PolicyServer(
        Checker(following, metrics, time.monotonic, cached=listen.cached),
        CheckAttributes(Workloads(world.registry), time.time),
        metrics,
        peers=_peers(world, listen),
        limits=limits,
        deadline=listen.deadline,
    )
    async with AsyncExitStack() as stack:
        tasks = [*world.tasks, background(stack, following.run(), "configuration")]
        await unless_failed(following.until(lambda _: following.generation > 0), tasks)
        port = _listening(server, world, listen)
        await server.start()
        stack.push_async_callback(server.stop)
        window = app(registry, lambda: True, lambda: shown(following))
        http = await stack.enter_async_context(bound(window, listen.host, listen.http))
        structlog.get_logger(component="policy").info("serving", grpc=port, http=http)
        yield Policy(following, port, http, tasks)


def _peers(world: "World", listen: Listen) -> "Peers | None":
    """Who may ask: proxies of the mesh; without trust anybody on loopback."""
    from mesh.mixer.peers import Peers

    return None if world.trust is None else Peers(world.trust, lambda: (listen.trust_domain,))


def _listening(server: "PolicyServer", world: "World", listen: Listen) -> int:
    from mesh.pki.serving import grpc_credentials

    if world.identity is None or world.trust is None:
        return server.listen(f"{LOOPBACK}:{listen.grpc}")
    credentials = grpc_credentials(world.identity, world.trust.roots, mutual=True)
    return server.listen(f"{listen.host}:{listen.grpc}", credentials)
