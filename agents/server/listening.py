"""The port: free before anything listens on it, and ours while several processes share it."""

from __future__ import annotations

import errno
import socket

from agents.server.options import split_address


class PortInUse(RuntimeError):
    pass


def require_free(listen: str) -> None:
    """With SO_REUSEPORT a forgotten server would silently keep a share of the agents, so ask without it."""
    _bound(listen, socket.SO_REUSEADDR).close()


def reserve(listen: str) -> socket.socket:
    """Hold the address for processes of ours: they join it, while strangers and twins are refused.

    A socket that is bound and does not listen gets no connections.
    """
    require_free(listen)
    return _bound(listen, socket.SO_REUSEPORT)


def _bound(listen: str, how: int) -> socket.socket:
    host, port = split_address(listen)
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    probe = socket.socket(family, kind, protocol)
    probe.setsockopt(socket.SOL_SOCKET, how, 1)
    try:
        probe.bind(address)
    except OSError as error:
        probe.close()
        why = (
            "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        )
        raise PortInUse(
            f"{listen} {why}. Stop what listens there, or choose another address with AGENTD_LISTEN."
        ) from None
    return probe
