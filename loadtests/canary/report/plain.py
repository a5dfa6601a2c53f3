"""The result as JSON: all figures, times in Unix seconds, latencies in seconds."""

import json
from dataclasses import asdict

from loadtests.canary.verdicts import Result


def render(result: Result) -> str:
    """The text of the file."""
    value = {
        **asdict(result),
        "exit_code": result.exit_code,
        "steps": [
            {**asdict(step), "looks": [{**asdict(look), "verdict": look.verdict} for look in step.looks]}
            for step in result.steps
        ],
    }
    return json.dumps(value, indent=2) + "\n"
