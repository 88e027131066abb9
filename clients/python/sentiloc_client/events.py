"""Parses server-sent events, and keeps the state needed to resume after a broken connection."""

from __future__ import annotations

import json

import httpx

from .decoding import NOT_JSON, decode
from .errors import UnexpectedAnswerError
from .models import Event
from .retries import media_type, shown

EVENT_STREAM = "text/event-stream"
_LONGEST_WAIT = 60.0
_DIGITS = 9


class EventLines:
    """Reads `text/event-stream`; `last_id` and `wait` (seconds before the next connection) are kept across connections.

    `ended` is True after the final event.
    """

    def __init__(self, after: str | None = None) -> None:
        self.last_id = after
        self.wait = 2.0
        self.ended = False
        self._reset()

    def _reset(self) -> None:
        self._kind, self._id = "message", ""
        self._data: list[str] = []

    def begin(self) -> dict[str, str]:
        """Headers for a new connection. An unfinished event of the previous connection is dropped."""
        self._reset()
        resume = {} if self.last_id is None else {"Last-Event-ID": self.last_id}
        return {"Accept": EVENT_STREAM, "Cache-Control": "no-store", **resume}

    def feed(self, line: str) -> Event | None:
        """The event that this line (without its line end) completes, if any."""
        if line:
            name, _, value = line.partition(":")
            self._field(name, value.removeprefix(" "))
            return None
        if not self._data:
            self._reset()
            return None
        event = self._event()
        self.last_id = event.id or self.last_id
        self.ended = event.kind == "final"
        self._reset()
        return event

    def _field(self, name: str, value: str) -> None:
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and value.isascii() and value.isprintable():
            # Any other id could not be sent back in a header.
            self._id = value
        elif name == "retry" and value.isdecimal():
            # More digits than those of the longest wait are no number for `int`, or none for a clock.
            self.wait = min(_LONGEST_WAIT, float(value[:_DIGITS]) / 1000)

    def _event(self) -> Event:
        try:
            raw = json.loads("\n".join(self._data))
        except NOT_JSON as error:
            raise UnexpectedAnswerError(f"an event's data is not JSON: {self._begin()}") from error
        if not isinstance(raw, dict):
            raise UnexpectedAnswerError(f"an event's data is not an object: {self._begin()}")
        return decode(Event, {**raw, "kind": self._kind, "id": self._id or None})

    def _begin(self) -> str:
        return repr(self._data[0][:80])


def require_stream(response: httpx.Response) -> None:
    """Raise `UnexpectedAnswerError` for a success that is not an event stream, such as a proxy's login page."""
    if media_type(response) != EVENT_STREAM:
        kind = response.headers.get("content-type", "no content type")
        detail = (
            f"{shown(response.url)} answered {response.status_code} with {kind} instead of {EVENT_STREAM}"
        )
        raise UnexpectedAnswerError(f"{detail}. Is this a Sentiloc server?")
