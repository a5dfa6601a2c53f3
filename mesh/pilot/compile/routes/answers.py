"""Routes that Envoy answers itself: redirects and direct responses."""

import base64
import binascii

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2

from mesh.api.networking.answers import HTTPDirectResponse, HTTPRedirect

RedirectAction = route_components_pb2.RedirectAction

CODES = {
    301: RedirectAction.MOVED_PERMANENTLY,
    302: RedirectAction.FOUND,
    303: RedirectAction.SEE_OTHER,
    307: RedirectAction.TEMPORARY_REDIRECT,
    308: RedirectAction.PERMANENT_REDIRECT,
}
DEFAULT_PORTS = {"http": 80, "https": 443}


def redirect(rule: HTTPRedirect, port: int, *, tls: bool) -> route_components_pb2.RedirectAction:
    """Send the caller elsewhere."""
    result = RedirectAction(
        host_redirect=rule.authority or "",
        path_redirect=rule.uri or "",
        response_code=CODES[rule.redirect_code],
    )
    if rule.scheme:
        result.scheme_redirect = rule.scheme
    wanted = port if rule.derive_port == "FROM_REQUEST_PORT" else rule.port
    if wanted != DEFAULT_PORTS.get(rule.scheme or ("https" if tls else "http")):
        result.port_redirect = wanted or 0
    return result


def direct_response(rule: HTTPDirectResponse) -> route_components_pb2.DirectResponseAction:
    """Answer with a status and perhaps a body."""
    result = route_components_pb2.DirectResponseAction(status=rule.status)
    if rule.body is not None and rule.body.string is not None:
        result.body.CopyFrom(base_pb2.DataSource(inline_string=rule.body.string))
    elif rule.body is not None:
        result.body.CopyFrom(base_pb2.DataSource(inline_bytes=body_bytes(rule.body.bytes or "")))
    return result


def body_bytes(text: str) -> bytes:
    """Bytes as JSON has them, in base64; what is not base64 is taken as it is."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()
