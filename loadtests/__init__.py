"""Load and canaries: files for Locust, an open-loop generator, rollouts and their reports."""
