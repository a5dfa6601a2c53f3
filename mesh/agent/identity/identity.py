"""The Pod's identity as the rest of the agent sees it: is it good, and what are its figures."""

from mesh.agent.identity.certificates import Certificates


class Identity:
    """Who the Pod is; `source` names where its certificate comes from."""

    def __init__(self, certificates: Certificates, source: str) -> None:
        self._certificates = certificates
        self._source = source

    def __repr__(self) -> str:
        return f"<Identity from {self._source}: {self.problem() or 'good'}>"

    def problem(self) -> str:
        """Why the Pod cannot prove who it is, or nothing."""
        trouble = self._certificates.trouble
        because = f": {trouble}" if trouble else ""
        pair = self._certificates.current
        if pair is None:
            return f"no certificate from {self._source} yet{because}"
        if self._certificates.seconds_left() <= 0:
            return f"the certificate expired at {pair.leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}{because}"
        return ""

    def metrics(self) -> bytes:
        """The agent's own metrics in Prometheus' form, under Istio's names."""
        found = self._certificates.statistics
        left = f"{self._certificates.seconds_left():.3f}" if self._certificates.current else None
        csr = 'request_type="csr"'
        lines = [
            *metric("cert_expiry_seconds", "gauge", "Seconds until the certificate expires.",
                    'resource_name="default"', left),
            *metric("num_outgoing_requests", "counter", "Certificates asked for.",
                    csr, str(found.signed + found.failed)),
            *metric("num_failed_outgoing_requests", "counter", "Certificates asked for in vain.",
                    csr, str(found.failed)),
        ]  # fmt: skip
        return "".join(f"{line}\n" for line in lines).encode()


def metric(name: str, kind: str, text: str, label: str, value: str | None) -> list[str]:
    """The lines of one metric; a value that is not known yet is left out."""
    full = f"istio_agent_{name}"
    head = [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
    return head if value is None else [*head, f"{full}{{{label}}} {value}"]
