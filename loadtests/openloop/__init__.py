"""The open-loop generator: requests by schedule, latency from the time each was due, and the account of both."""
