"""Locust, as its own program runs it, but ended by Ctrl-C in any case: `python -m loadtests.locusts OPTIONS`.

Python raises KeyboardInterrupt in whatever runs at that moment. In Locust that may be a user, or gRPC's own
code, which take it for an error of a request and go on: Locust then never ends. Here the signal is an event
of gevent's loop, and reaches Locust's main greenlet, which waits for it. What Locust writes is the same.

And `--run-time` lasts as long as it says: gevent counts from the time that its loop last saw, which on a busy
machine is seconds ago when Locust begins.
"""

import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Exits as Locust does; with 130 where Locust has no answer to Ctrl-C, such as before its start."""
    try:
        from locust.main import main as locust  # patches the standard library: before all else

        _lead_to_this_greenlet(signal.SIGINT)
        _count_from_the_beginning()
        locust()  # type: ignore[no-untyped-call]
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _lead_to_this_greenlet(number: int) -> None:
    import gevent  # type: ignore[import-untyped]

    mine, loop = gevent.getcurrent(), gevent.get_hub().loop

    def interrupt() -> None:
        loop.run_callback(mine.throw, KeyboardInterrupt)

    gevent.signal_handler(number, interrupt)


def _count_from_the_beginning() -> None:
    import gevent
    from locust import events

    loop = gevent.get_hub().loop

    def update(**_: object) -> None:
        loop.update_now()

    events.init.add_listener(update)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
