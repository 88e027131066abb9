"""Tracks which receivers and owners already use their share of the sender's threads.

One receiver that hangs, or one API key with many of them, must not delay the events of others.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator


class Lanes:
    """Counts the deliveries in progress. Thread-safe.

    Args:
        per_host: concurrent deliveries to one host.
        per_owner: concurrent deliveries of one API key.
    """

    def __init__(self, per_host: int, per_owner: int) -> None:
        self._per_host = per_host
        self._per_owner = per_owner
        self._hosts: Counter[str] = Counter()
        self._owners: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def choosing(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield the busy hosts and the busy owners.

        Only one thread at a time is in this context; it chooses an event and calls `enter`.
        """
        with self._lock:
            # Read under the lock: between the choice and `enter` another thread could take the same lane.
            hosts = [host for host, count in self._hosts.items() if count >= self._per_host]
            owners = [owner for owner, count in self._owners.items() if count >= self._per_owner]
            yield hosts, owners

    def enter(self, host: str, owner: str | None) -> None:
        """Count a delivery that begins; call it within `choosing`."""
        self._hosts[host] += 1
        if owner is not None:
            self._owners[owner] += 1

    def leave(self, host: str, owner: str | None) -> None:
        """Count a delivery that has ended."""
        with self._lock:
            for counter, name in ((self._hosts, host), (self._owners, owner)):
                if name is not None:
                    counter[name] -= 1
                    if counter[name] <= 0:
                        del counter[name]
