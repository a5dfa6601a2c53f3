"""Entry point of `istio-telemetry`: puts it together and runs it until SIGTERM."""

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
    program.run("istio-telemetry", lambda: telemetry(options), log_level=options.log_level)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from mesh.mixer.platform import add_options

    made = argparse.ArgumentParser("istio-telemetry", description="Takes reports of calls.")
    add_options(made, "istio-telemetry")
    add = made.add_argument
    add("--prometheus-port", type=int, default=42422, metavar="PORT", help="what rules count; 0 takes any")
    add("--spans-port", type=int, default=9411, metavar="PORT", help="spans in, and their queries")
    return made


async def telemetry(options: argparse.Namespace) -> None:
    """Run until cancelled, or until a part fails."""
    from mesh.mixer.platform import mixer_world
    from mesh.mixer.telemetry.serving import Settings, serving

    settings = Settings(
        options.listen, options.grpc_port, options.http_port, options.prometheus_port, options.spans_port,
        options.trust_domain, options.namespace, options.folder,
    )  # fmt: skip
    async with mixer_world(options) as world, serving(world, settings) as running:
        await running.finished()


if __name__ == "__main__":
    main()
