"""Entry point of `istio-policy`: puts it together and runs it until SIGTERM."""

import argparse
import os
from collections.abc import Sequence

from mesh import program


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit: 0 asked to end, 1 refused with a message, 2 wrong usage."""
    # Envoy's SNI names no host of ours, and gRPC would complain of each handshake; read at its import.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
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
    from mesh.mixer.policy.serving import Settings, serving

    settings = Settings(
        options.listen, options.grpc_port, options.http_port, options.trust_domain, options.namespace,
        options.folder, options.deadline, options.check_cache,
        limits=Limits(options.max_checks, options.max_waiting, options.max_wait),
    )  # fmt: skip
    async with mixer_world(options) as world, serving(world, settings) as running:
        await running.finished()


if __name__ == "__main__":
    main()
