"""A proxy before Redis that loses the answers to chosen commands, together with the connection."""

from __future__ import annotations

import contextlib
import socket
import threading


class LossyProxy:
    """Forwards everything to the Redis at the Unix socket `target`, and loses answers on request."""

    def __init__(self, target: str) -> None:
        self.lost = 0
        self._target = target
        self._name: bytes | None = None
        self._after = 0
        self._every: tuple[bytes, ...] = ()
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_next(self, name: bytes | None, after: int = 0) -> None:
        """Lose the answer to a command with this name, after `after` such commands have passed."""
        with self._lock:
            self._name, self._after = name, after

    def lose_every(self, *names: bytes) -> None:
        """From now on, lose the answer to every command that contains one of these names."""
        with self._lock:
            self._every = names

    def close(self) -> None:
        """Accept no further connections."""
        self._socket.close()

    def _is_chosen(self, data: bytes) -> bool:
        with self._lock:
            if any(name in data for name in self._every):
                self.lost += 1
                return True
            if self._name is None or self._name not in data:
                return False
            if self._after > 0:
                self._after -= 1
                return False
            self._name = None
            self.lost += 1
            return True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._target)
            mute = threading.Event()
            threading.Thread(target=self._answer, args=(server, client, mute), daemon=True).start()
            while data := client.recv(1 << 20):
                if self._is_chosen(data):
                    mute.set()
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                if mute.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
