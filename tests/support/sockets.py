"""Questions about an open socket."""

from __future__ import annotations

import socket


def is_closed(client: socket.socket) -> bool:
    """True if the other side has closed the connection. Received data stays in the socket."""
    try:
        client.setblocking(False)
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
