"""A proxy before a real server that can stop to answer: it accepts connections and data, and sends nothing back."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator

Connect = Callable[[], socket.socket]


class BlackHole:
    """Forwards connections to a server. While `is_silent`, what clients send is read and lost."""

    def __init__(self, connect: Connect) -> None:
        self.is_silent = False
        self.swallowed = 0
        self._connect = connect
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no further connections."""
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, self._connect() as server:
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if self.is_silent:
                        self.swallowed += source is client
                        # The connection stays silent for ever, as after a lost route.
                        _drain(client)
                        return
                    (server if source is client else client).sendall(data)


def _drain(client: socket.socket) -> None:
    while client.recv(1 << 16):
        pass


@contextlib.contextmanager
def black_hole(connect: Connect) -> Iterator[BlackHole]:
    """A proxy that lasts for a block."""
    hole = BlackHole(connect)
    try:
        yield hole
    finally:
        hole.close()
