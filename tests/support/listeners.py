"""Small servers on loopback that give a prepared answer and record the requests."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@dataclass
class Listener:
    """A server on loopback that answers everything with the same bytes and records the requests."""

    answer: bytes | Callable[[socket.socket], None]
    tls: ssl.SSLContext | None = None
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with self.tls.wrap_socket(client, server_side=True) if self.tls else client as stream:
                stream.settimeout(60)
                request = b""
                while b"\r\n\r\n" not in request and (piece := stream.recv(65_536)):
                    request += piece
                self.requests.append(request)
                if isinstance(self.answer, bytes):
                    stream.sendall(self.answer)
                else:
                    self.answer(stream)
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listening(
    answer: bytes | Callable[[socket.socket], None] = ANSWER, tls: ssl.SSLContext | None = None
) -> Iterator[Listener]:
    listener = Listener(answer, tls)
    try:
        yield listener
    finally:
        listener.close()
