"""What can be wrong with a Pod's identity."""


class IdentityProblem(Exception):
    """The agent cannot serve the Pod's identity; the text says why and what to do."""
