"""TCP ports on the loopback interface."""

import os
import random
import socket


class PortError(RuntimeError):
    """A port that cannot be used, with what to change."""


def from_env(variable: str, default: int) -> int:
    """The port that VARIABLE names, or the default."""
    text = os.environ.get(variable, "").strip() or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise PortError(f"{variable} must be a port number between 1 and 65535, not {text!r}.")
    return int(text)


def require_free(port: int, variable: str, host: str = "127.0.0.1") -> None:
    """Refuse a busy port before anything is started, and name the variable that changes it."""
    with socket.socket() as probe:
        # As servers do: a connection that has just been closed does not keep the port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortError(
                f"Port {port} on {host} cannot be used ({error.strerror}). "
                f"Choose another one with {variable}, for example {variable}={_other(port)}."
            ) from error


def free(count: int = 1) -> list[int]:
    """Ports that were free a moment ago, all different.

    None is one that the kernel gives to outgoing connections (32768 and above on Linux), since such a
    connection could take it before the server that it is meant for does.
    """
    found: list[int] = []
    for port in random.sample(range(12_000, 32_000), 5_000):
        if len(found) == count:
            break
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        found.append(port)
    return found


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def _other(port: int) -> int:
    return port + 1000 if port < 64000 else port - 1000
