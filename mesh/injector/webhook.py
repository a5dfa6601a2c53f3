"""The webhook: answers AdmissionReviews; changed settings are read again."""

import sys
from pathlib import Path

from aiohttp import web

from mesh.injector.review import ReviewProblem, review
from mesh.injector.settings import Settings, SettingsProblem

LARGEST_BODY = 8 * 1024 * 1024


class Injector:
    """Injects with the settings in `folder` (a mounted ConfigMap) and the mesh configuration.

    Raises `SettingsProblem` if they cannot be used; later ones that cannot are passed over.
    """

    def __init__(self, folder: Path, mesh_config: Path) -> None:
        self._folder = folder
        self._mesh_config = mesh_config
        self._settings = Settings.read(folder, mesh_config)
        self._stamp = self._read_stamp()

    def routes(self) -> list[web.RouteDef]:
        """Its paths, for a server of its own or one that is shared."""
        return [web.post("/inject", self.inject)]

    async def inject(self, request: web.Request) -> web.Response:
        """POST /inject: an AdmissionReview in, an AdmissionReview out."""
        try:
            return web.json_response(review(await request.json(), self.settings()))
        except (ReviewProblem, ValueError) as error:
            return web.Response(status=400, text=f"{error}\n")

    def settings(self) -> Settings:
        """The settings in force: read anew when a mounted file changed; if wrong, the last good ones."""
        if (stamp := self._read_stamp()) != self._stamp:
            self._stamp = stamp
            try:
                self._settings = Settings.read(self._folder, self._mesh_config)
            except SettingsProblem as error:
                print(f"sidecar-injector: {error}; the last good settings stay", file=sys.stderr, flush=True)
        return self._settings

    def _read_stamp(self) -> tuple[float, ...]:
        paths = (self._folder / "values", self._mesh_config)
        return tuple(path.stat().st_mtime if path.exists() else 0.0 for path in paths)
