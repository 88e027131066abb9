"""Headers that announce the end of a part of the API: `Deprecation` (RFC 9745) and `Sunset` (RFC 8594)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

POLICY = "https://github.com/sentiloc/sentiloc/blob/main/docs/api.md#versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """A deprecated part of the API.

    Args:
        since: When it became deprecated, in UTC.
        sunset: When it stops working, in UTC; None if no date is set. docs/api.md says how early it is announced.
        successor: The path that replaces it.
    """

    since: datetime
    sunset: datetime | None = None
    successor: str | None = None

    def headers(self) -> dict[str, str]:
        """The headers of every answer of that part."""
        links = [f'<{POLICY}>; rel="deprecation"; type="text/html"']
        if self.successor is not None:
            links.append(f'<{quote(self.successor)}>; rel="successor-version"')
        found = {"Deprecation": f"@{int(self.since.timestamp())}", "Link": ", ".join(links)}
        if self.sunset is not None:
            found["Sunset"] = format_datetime(self.sunset, usegmt=True)
        return found
