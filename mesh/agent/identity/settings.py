"""Where a Pod finds Citadel, its token, the first root and its mounted certificates."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mesh.agent.environment import EnvironmentProblem, Pod, seconds

if TYPE_CHECKING:
    from mesh.pki.keys import Algorithm

TOKEN = "/var/run/secrets/tokens/istio-token"
ROOT = "/var/run/secrets/istio/root-cert.pem"
SOCKET = "/var/run/secrets/workload-spiffe-uds/socket"
MOUNTED = "/etc/certs"
CITADEL = "istio-citadel.istio-system.svc:8060"
MUTUAL_PORT = 8061
ANNOTATION = "security.istio.io/certificates"
RSA_SIZES = ("2048", "3072", "4096")


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """How the agent proves who the Pod is. With `mounted`, its files stand in for Citadel."""

    trust_domain: str = "cluster.local"
    citadel: str = CITADEL
    citadel_mutual: str = "istio-citadel.istio-system.svc:8061"
    token: Path = Path(TOKEN)
    root: Path = Path(ROOT)
    socket: Path = Path(SOCKET)
    mounted: Path | None = None
    lifetime: timedelta = timedelta(hours=24)
    rsa_bits: str = ""

    @property
    def algorithm(self) -> "Algorithm":
        """The kind of key that is made."""
        return cast("Algorithm", f"rsa-{self.rsa_bits}" if self.rsa_bits else "ecdsa-p256")

    @classmethod
    def read(cls, environment: Mapping[str, str], pod: Pod) -> "IdentitySettings":
        """Read Istio's variables; `EnvironmentProblem` names the one that is wrong.

        CA_ADDR, TRUST_DOMAIN, CA_ROOT_CA, SECRET_TTL, WORKLOAD_RSA_KEY_SIZE and FILE_MOUNTED_CERTS are
        Istio's; CA_MUTUAL_ADDR, CA_TOKEN_FILE, WORKLOAD_SOCKET and MOUNTED_CERTS say where things lie.
        """
        by_files = pod.annotations.get(ANNOTATION) == "secret" or truth(environment, "FILE_MOUNTED_CERTS")
        mounted = Path(environment.get("MOUNTED_CERTS", MOUNTED)) if by_files else None
        citadel = address(environment, "CA_ADDR", CITADEL)
        host = citadel.rpartition(":")[0]
        root = environment.get("CA_ROOT_CA") or (mounted / "root-cert.pem" if mounted else ROOT)
        return cls(
            trust_domain=environment.get("TRUST_DOMAIN") or "cluster.local",
            citadel=citadel,
            citadel_mutual=address(environment, "CA_MUTUAL_ADDR", f"{host}:{MUTUAL_PORT}"),
            token=Path(environment.get("CA_TOKEN_FILE", TOKEN)),
            root=Path(root),
            socket=Path(environment.get("WORKLOAD_SOCKET", SOCKET)),
            mounted=mounted,
            lifetime=lifetime(environment),
            rsa_bits=rsa_bits(environment),
        )


def truth(environment: Mapping[str, str], name: str) -> bool:
    """A variable that is `true` or not."""
    return environment.get(name, "").lower() == "true"


def address(environment: Mapping[str, str], name: str, default: str) -> str:
    """`host:port` of a variable."""
    value = environment.get(name) or default
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise EnvironmentProblem(f"{name} {value!r}: expected host:port, such as {default}")
    return value


def lifetime(environment: Mapping[str, str]) -> timedelta:
    """The life that is asked for each certificate."""
    value = environment.get("SECRET_TTL") or "24h"
    try:
        found = seconds(value)
    except ValueError as error:
        raise EnvironmentProblem(f"SECRET_TTL: {error}") from None
    if found < 1:
        raise EnvironmentProblem(f"SECRET_TTL {value!r}: a certificate lives for 1s at least")
    return timedelta(seconds=found)


def rsa_bits(environment: Mapping[str, str]) -> str:
    """The size of an RSA key, or nothing for ECDSA P-256."""
    value = environment.get("WORKLOAD_RSA_KEY_SIZE", "")
    if value and value not in RSA_SIZES:
        raise EnvironmentProblem(
            f"WORKLOAD_RSA_KEY_SIZE {value!r}: one of {', '.join(RSA_SIZES)}, or leave it out for ECDSA P-256"
        )
    return value
