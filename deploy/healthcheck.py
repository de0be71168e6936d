"""Ask the broker in this container whether it is alive: exit 0 when /livez says so, else 1.

`http.client` rather than `urllib`: a container may have `http_proxy` set, and a proxy cannot reach its loopback.
"""  # noqa: INP001 - a script that is copied into an image, no package

import http.client
import os
import sys


def main() -> int:
    """Ask once."""
    port = int(os.environ.get("WSBROKER_ADMIN_PORT", "9001"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"/livez on port {port}: {type(error).__name__}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"/livez on port {port}: {status}\n")
    return 0 if status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
