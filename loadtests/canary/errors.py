"""What ends a rollout before or beside its verdict."""

from pytest_mesh.errors import HarnessError


class CanaryError(HarnessError):
    """A rollout that cannot be begun or gone on with; `remedy` says what to do."""

    exit_code = 4


class TakenAway(CanaryError):
    """Somebody else has changed the rule or ended the rollout: it is not ours any more."""
