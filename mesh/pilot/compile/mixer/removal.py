"""The filter that takes headers out of responses, as istio-policy says in metadata."""

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.pilot.compile.messages import packed
from mesh.rules import removal

NAME = "meshwright.mixer.removal"


def http() -> http_connection_manager_pb2.HttpFilter:
    """The filter; it stands after the question, where responses come by before any other of Mixer's."""
    script = base_pb2.DataSource(inline_string=removal.SCRIPT)
    config = lua_pb2.Lua(default_source_code=script)
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=packed(config))
