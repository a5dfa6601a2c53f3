"""What each connected proxy was sent, what it accepted and what it refused: Istio's `syncz`."""

from typing import Any

from mesh.pilot.ads.session import Session
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.ads.watch import ABSENT, Watch
from mesh.pilot.metrics import short


def syncz(sessions: Sessions) -> list[dict[str, Any]]:
    """All connected proxies, by name. Agents are no proxies."""
    proxies = (session for session in sessions if not session.is_agent)
    return [proxy_status(session) for session in sorted(proxies, key=lambda session: session.id)]


def proxy_status(session: Session) -> dict[str, Any]:
    """One proxy. Times are seconds since the epoch."""
    return {
        "proxy": session.id,
        "kind": str(session.proxy.kind),
        "address": session.proxy.address,
        "identity": session.identity,
        "node": session.proxy.node_id,
        "form": "sotw" if session.machine.sotw else "delta",
        "connected_at": session.connected_at,
        "snapshot": session.version,
        "failure": session.failure,
        "types": {
            short(kind): type_status(session, watch) for kind, watch in session.machine.watches.items()
        },
    }


def type_status(session: Session, watch: Watch) -> dict[str, Any]:
    """One type: `SYNCED`, `STALE` (something is due or not answered), `NACK` or `NOT_SENT`."""
    sent, answered = session.sent.get(watch.type_url), session.answered.get(watch.type_url)
    latest = answered or sent
    return {
        "status": state_of(session, watch),
        "version": str(answered.snapshot) if answered else "",
        "nonce_sent": sent.nonce if sent else "",
        "nonce_acked": answered.nonce if answered and answered.error is None else "",
        "error": "; ".join(f"{each.name}: {each.error}" for each in watch.rejected.values()) or None,
        "refused": sorted(watch.rejected),
        "resources": sum(held is not ABSENT for held in watch.accepted.values()),
        "since": (latest.answered_at or latest.sent_at) if latest else session.connected_at,
    }


def state_of(session: Session, watch: Watch) -> str:
    """In one word."""
    if watch.rejected:
        return "NACK"
    if session.machine.unsettled().get(watch.type_url) or watch.in_flight is not None:
        return "STALE"
    return "SYNCED" if watch.accepted or watch.type_url in session.sent else "NOT_SENT"
