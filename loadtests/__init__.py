"""Load and canaries: Locust's files for the weather demo, an open-loop generator, rollouts and their reports."""
