"""Makes sure that a server can listen at an address, before one is started that would tell it in many lines, or not.

    address.py HOST PORT
"""

import socket
import sys


def flaw(host: str, port: str) -> str:
    """Why nothing can listen there, if so. That another program does already is for the server to say: it may take the
    next port."""
    if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 1 << 16):
        return f"PORT is a whole number from 0 to 65535, not {port!r}"
    if host == "*":  # JupyterLab's word for all
        return ""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.bind(place)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no name of a machine"
        return f"nothing can listen at HOST={host!r} ({why}): take an address of this machine, or 0.0.0.0 for all"
    return ""


if __name__ == "__main__":
    if told := flaw(*sys.argv[1:]):
        print(f"error: {told}", file=sys.stderr)
        sys.exit(1)
