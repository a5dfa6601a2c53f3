"""The open-loop generator: requests by schedule, latency from when each was due, and an account of all."""
