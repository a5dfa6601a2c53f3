"""What Citadel refuses, and what keeps it from starting."""


class Refused(Exception):
    """A request that is not granted.

    `reason` is one of a few words, for metrics; `status` the name of the gRPC status; the text is for people.
    """

    def __init__(self, reason: str, status: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class BadAuthority(Exception):
    """A certificate authority that cannot be used: says which Secret, which key of it, and why."""
