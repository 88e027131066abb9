"""The open connections of this process: counts them by address, and chooses which one to close when there are too many.

At the limit, the connection that has waited longest for its client is closed: for a header that does not arrive, an
answer that is not read, or the next request. So clients that only hold connections open cannot keep others out. A
connection whose request is being worked on is never closed for another one.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

_EVERYONE = "*"


class Connection(Protocol):
    """The properties of a connection that the table uses."""

    address: str

    def is_waiting(self) -> bool:
        """True if it waits for its client; False while the server works for it."""

    def give_way(self) -> None:
        """Close the connection at once."""


def address_name(host: str) -> str:
    """The name under which an address is counted. An IPv6 client usually owns its whole /64."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address) if address.version == 4 else str(ipaddress.ip_network(f"{address}/64", strict=False))


class ConnectionTable:
    """All connections of the process. Use it from one event loop only.

    Args:
        most: maximum number of connections.
        most_per_address: maximum number of connections of one address.
        proxies: addresses or networks of proxies, whose connections belong to many clients. The limit per address does
            not apply to them.
    """

    def __init__(self, most: int, most_per_address: int, proxies: Iterable[str] = ()) -> None:
        self._most = most
        self._most_per_address = most_per_address
        names = list(proxies)
        self._all_are_proxies = _EVERYONE in names
        self._proxies = [network for network in map(_network, names) if network is not None]
        # In the order of their last activity, so the longest-waiting connection is near the front.
        self._all: OrderedDict[Connection, None] = OrderedDict()
        self._by_address: dict[str, OrderedDict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> int:
        """Add a new connection. Returns by how many the limits are exceeded: 0 if it may be served.

        First closes a connection that waits for its client: one of the same address if that address has too many.
        """
        # Added before anything is closed, so that the new connection counts as well.
        own = self._by_address.setdefault(connection.address, OrderedDict())
        self._all[connection] = own[connection] = None
        excess_of_address = len(own) - self._most_per_address
        if excess_of_address > 0 and self._is_proxy(connection.address):
            excess_of_address = 0
        # First within the address: a greedy client then only loses connections of its own.
        if excess_of_address > 0 and self._shed(connection, own):
            excess_of_address -= 1
        excess = len(self._all) - self._most
        if excess > 0 and self._shed(connection, self._all):
            excess -= 1
        return max(excess_of_address, excess, 0)

    def touch(self, connection: Connection) -> None:
        """Note activity on the connection: it is now the last one to be closed."""
        if connection in self._all:
            self._all.move_to_end(connection)
            self._by_address[connection.address].move_to_end(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed. May be repeated."""
        if connection not in self._all:
            return
        del self._all[connection]
        own = self._by_address[connection.address]
        del own[connection]
        if not own:
            del self._by_address[connection.address]

    def _shed(self, new: Connection, among: OrderedDict[Connection, None]) -> bool:
        """Close the connection that has waited longest for its client; False if none waits."""
        # At most one round, because busy connections are moved to the end.
        for _ in range(len(among)):
            one = next(iter(among))
            if one is not new and one.is_waiting():
                # Removed before it closes: connection_lost comes later, and its place is needed now.
                self.remove(one)
                one.give_way()
                return True
            # A request is being worked on. Moved to the end, so that the next search begins with others.
            among.move_to_end(one)
        return False

    def _is_proxy(self, address: str) -> bool:
        if self._all_are_proxies or not self._proxies:
            return self._all_are_proxies
        found = _network(address)
        return found is not None and any(
            found.version == network.version and found.subnet_of(network)  # type: ignore[arg-type]
            for network in self._proxies
        )


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
