"""Runs a program to its end and then sends the sidecar home, so that the Pod of a Job ends.

A sidecar beside it would run for ever. Its agent leaves when it is asked to, from within the Pod only:
`POST http://127.0.0.1:15020/quitquitquit`, as for Istio's.
"""

import http.client
import signal
import subprocess
import sys

AGENT = ("127.0.0.1", 15020)
SECONDS = 10.0


def main(command: list[str]) -> int:
    """Its exit code; SIGTERM (the Pod is to end) is handed on to it."""
    with subprocess.Popen(command) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = process.wait()
    send_home()
    return code if code >= 0 else 128 - code


def send_home() -> None:
    """Nothing if there is no sidecar."""
    connection = http.client.HTTPConnection(*AGENT, timeout=SECONDS)
    try:
        connection.request("POST", "/quitquitquit")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        print(f"no sidecar to send home: {error}", file=sys.stderr)
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
