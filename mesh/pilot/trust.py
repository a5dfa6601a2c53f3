"""Trust as the configuration has it: the mesh's own ConfigMap, followed for Pilot's own doors."""

import structlog

from mesh.model import ObjectKey
from mesh.model.sources import ConfigSource
from mesh.model.trust import TRUST_NAME
from mesh.pki.trust import Trust

log = structlog.get_logger(component="trust")


def trust_key(namespace: str) -> ObjectKey:
    """The object that holds the trust bundle of the mesh whose system namespace this is."""
    return ObjectKey("ConfigMap", namespace, TRUST_NAME)


def follow(trust: Trust, config: ConfigSource, namespace: str) -> None:
    """Make `trust` be what the configuration says, now and from now on; what it cannot say is left alone."""
    key = trust_key(namespace)

    def look(keys: frozenset[ObjectKey]) -> None:
        held = config.objects().get(key) if key in keys else None
        if held is None or held.spec == trust.current:
            return
        try:
            trust.replace(held.spec)
        except ValueError as error:
            log.warning("cannot use the trust bundle; the last good one stays", reason=str(error))
            return
        log.info(
            "trust has changed", roots=len(trust.bundle.certificates), revoked=len(trust.bundle.revocations)
        )

    config.subscribe(look)
    look(frozenset({key}))
