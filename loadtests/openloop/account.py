"""What became of the requests of a schedule."""

from pydantic import BaseModel, ConfigDict, NonNegativeInt


class Account(BaseModel):
    """Counts of one stretch of time; each thing is counted in the stretch in which it happened.

    `scheduled` = `sent` + `dropped`. A dropped request was due while as many as are
    allowed were under way already: it is never sent. A late one was sent, but later after its due time
    than the plan tolerates: the generator (or its machine) could not keep up. `failed` are among `done`.
    """

    model_config = ConfigDict(extra="forbid")

    scheduled: NonNegativeInt = 0
    sent: NonNegativeInt = 0
    late: NonNegativeInt = 0
    dropped: NonNegativeInt = 0
    done: NonNegativeInt = 0
    failed: NonNegativeInt = 0

    @property
    def sent_share(self) -> float | None:
        """Of what was due, the share (0 to 1) that was sent; None if nothing was due."""
        return self.sent / self.scheduled if self.scheduled else None

    @property
    def late_share(self) -> float | None:
        """Of what was sent, the share (0 to 1) that left late; None if nothing was sent.

        A request due at the end of a stretch may leave in the next one: there may be more late than sent.
        """
        return min(1.0, self.late / self.sent) if self.sent else None

    def __add__(self, other: "Account") -> "Account":
        """Both stretches together."""
        mine, others = self.model_dump(), other.model_dump()
        return Account(**{name: mine[name] + others[name] for name in mine})
