"""Decides which IP addresses are public."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

# IANA's special-purpose registry, multicast, reserved space, and Azure's metadata address, which is a public address.
_CLOSED_V4 = [
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
    )
]
# Only global unicast is public, except special ranges and ranges that embed IPv4 addresses.
_GLOBAL_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = [IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]


def is_public(address: str) -> bool:
    """True for a public address outside all special ranges."""
    # `ipaddress.is_global` is not used: its table differs between Python versions.
    parsed = parse_address(address)
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _CLOSED_V4)
    return parsed is not None and parsed in _GLOBAL_V6 and not any(parsed in net for net in _CLOSED_V6)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address in its usual notation; None for names and for other notations of numbers."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
