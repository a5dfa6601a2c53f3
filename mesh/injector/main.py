"""Entry point of `sidecar-injector`: the webhook server. Changed settings and certificates are read again."""

import argparse
import asyncio
import signal
import ssl
import sys
from pathlib import Path

from aiohttp import web

from mesh.injector.review import ReviewProblem, review
from mesh.injector.settings import Settings, SettingsProblem

LARGEST_BODY = 8 * 1024 * 1024


class Injector:
    """The webhook: answers AdmissionReviews with the settings in `folder`."""

    def __init__(self, folder: Path, mesh_config: Path) -> None:
        self._folder = folder
        self._mesh_config = mesh_config
        self._settings = Settings.read(folder, mesh_config)
        self._stamp = self._read_stamp()

    def routes(self) -> list[web.RouteDef]:
        """Its paths, for a server of its own or one that is shared."""
        return [web.post("/inject", self.inject), web.get("/ready", self.ready)]

    def application(self) -> web.Application:
        """The HTTP surface."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.add_routes([web.post("/inject", self.inject), web.get("/ready", self.ready)])
        return app

    async def inject(self, request: web.Request) -> web.Response:
        """POST /inject: an AdmissionReview in, an AdmissionReview out."""
        try:
            return web.json_response(review(await request.json(), self.settings()))
        except (ReviewProblem, ValueError) as error:
            return web.Response(status=400, text=f"{error}\n")

    async def ready(self, _: web.Request) -> web.Response:
        """GET /ready. The kubelet asks every second, so that a changed certificate is taken up in time."""
        self.settings()
        return web.Response(text="ready\n")

    def settings(self) -> Settings:
        """The settings in force: read anew when a mounted file changed; if wrong, the last good ones."""
        if (stamp := self._read_stamp()) != self._stamp:
            self._stamp = stamp
            try:
                self._settings = Settings.read(self._folder, self._mesh_config)
            except (SettingsProblem, OSError, ssl.SSLError) as error:
                print(f"sidecar-injector: {error}; the last good settings stay", file=sys.stderr, flush=True)
        return self._settings

    def _read_stamp(self) -> tuple[float, ...]:
        paths = (self._folder / "values", self._mesh_config)
        return tuple(path.stat().st_mtime if path.exists() else 0.0 for path in paths)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        "sidecar-injector", description="The mutating webhook that adds sidecars."
    )
    parser.add_argument("--port", type=int, default=9443)
    parser.add_argument("--config", type=Path, default=Path("/etc/istio/inject"), metavar="FOLDER")
    parser.add_argument("--certs", type=Path, default=Path("/etc/istio/certs"), metavar="FOLDER")
    parser.add_argument("--mesh-config", type=Path, default=Path("/etc/istio/config/mesh"), metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        injector = Injector(options.config, options.certs, options.mesh_config)
    except (SettingsProblem, OSError, ssl.SSLError) as error:
        sys.exit(f"sidecar-injector: {error}")
    asyncio.run(serve(injector, options.port))


async def serve(injector: Injector, port: int) -> None:
    """Serve until the process is asked to end."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    runner = web.AppRunner(injector.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port, ssl_context=injector.tls, shutdown_timeout=2).start()
    await ending.wait()
    await runner.cleanup()


if __name__ == "__main__":
    main()
