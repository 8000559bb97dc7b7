"""Loopback ports: a fixed default for each, and a free one when the default is taken."""

import secrets
import socket
from collections.abc import Collection, Mapping

HOST = "127.0.0.1"

# Below the range from which the kernel numbers outgoing connections: one of those could take the
# port between our look and the server's start, or while a killed server is being started again.
_FREE = range(20_000, 32_000)
# Nobody may have begun to listen yet on a port that was found a moment ago, or listens again soon.
_found: set[int] = set()


def allocate(defaults: Mapping[str, int], *, fixed: bool = True) -> dict[str, int]:
    """Return a port for each name: its default where that is free and `fixed` is set."""
    chosen: dict[str, int] = {}
    for name, default in defaults.items():
        usable = fixed and default not in chosen.values() and is_free(default)
        chosen[name] = default if usable else free(avoid={*defaults.values(), *chosen.values()})
    return chosen


def free(*, avoid: Collection[int] = ()) -> int:
    """Return a port nobody listens on now, outside of `avoid`, and no port twice."""
    while True:
        port = secrets.choice(_FREE)
        if port not in avoid and port not in _found and is_free(port):
            _found.add(port)
            return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT after a stop counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
