"""The demo's services as real processes, as the tests of the demo have them."""

from tests.weather.conftest import echo, free_port, start

__all__ = ["echo", "free_port", "start"]
