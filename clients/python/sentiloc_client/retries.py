"""Decides whether to retry, and after how long. Nothing here sleeps or sends."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from .decoding import NOT_JSON
from .errors import (
    ApiError,
    ConnectionFailedError,
    RateLimitedError,
    ServerError,
    UnexpectedAnswerError,
    api_error,
)

# Statuses after which the same request may succeed: rate limits, and a service or proxy that is restarting.
_TRANSIENT = frozenset({429, 502, 503, 504})
_PROBLEM = "application/problem+json"
# The last request before a limit of time has these seconds for its answer.
_LAST_SECONDS = 5.0
AWAY = (ConnectionFailedError, RateLimitedError, ServerError)
"""What a poll ends with whose server is away or busy until the limit of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """At most `attempts` attempts. The wait starts at `first_wait` and doubles up to `longest_wait` seconds, with
    jitter.

    The server's `Retry-After` takes precedence. If it exceeds `longest_wait`, the error is raised at once.
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def wait(self, attempt: int) -> float:
        """Seconds to wait after attempt `number`, counted from 1."""
        # Without a limit, the power of a long outage is not a number that a float can have.
        longest = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt - 1, 99))
        # Jitter, so that clients which lost one server do not come back at the same moment.
        return float(random.uniform(0.5, 1.0) * longest)  # noqa: S311


class Attempts:
    """The attempts of one request. A request that is not `repeatable` is only resent if it certainly did not arrive.

    None begins after `ends_at`, a time of `time.monotonic`.
    """

    def __init__(self, retry: Retry, *, repeatable: bool, ends_at: float | None = None) -> None:
        self._retry = retry
        self._repeatable = repeatable
        self._ends_at = float("inf") if ends_at is None else ends_at
        self._made = 0

    def begin_again(self) -> None:
        """Reset the count after a success."""
        self._made = 0

    def timeout(self, usual: httpx.Timeout) -> httpx.Timeout:
        """The seconds for the next attempt: the usual ones, or those that are left."""
        left = max(_LAST_SECONDS, self._ends_at - time.monotonic())
        parts = {name: left if given is None else min(left, given) for name, given in usual.as_dict().items()}
        return usual if left == float("inf") else httpx.Timeout(**parts)

    def answered_by(self) -> float:
        """The time of `time.monotonic` by which an answer that arrives now has to be complete."""
        return max(self._ends_at, time.monotonic() + _LAST_SECONDS)

    def _is_over(self) -> bool:
        return self._made >= self._retry.attempts or time.monotonic() >= self._ends_at

    def _within(self, delay: float) -> float:
        """The delay, or what is left: the last attempt is at the limit."""
        return max(0.0, min(delay, self._ends_at - time.monotonic()))

    def after_error(self, error: httpx.RequestError) -> float:
        """Seconds to wait before the next attempt; raises the `ClientError` if there is none."""
        # httpx looks at the place of a redirect before it returns the answer.
        leads_nowhere = isinstance(error.__context__, httpx.InvalidURL)
        if leads_nowhere or not isinstance(error, httpx.TransportError):
            # An answer arrived, but httpx cannot read it, for example because it is compressed wrongly.
            raise UnexpectedAnswerError(f"{_address(error)}: {error}") from error
        self._made += 1
        # No connection was made, so the server cannot have seen the request.
        never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        # Local: something that cannot be sent, such as a line end in an idempotency key.
        hopeless = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
        may = (self._repeatable or never_arrived) and not hopeless
        if not may or self._is_over():
            raise ConnectionFailedError(_explain(error)) from error
        return self._within(self._retry.wait(self._made))

    def after_silence(self, response: httpx.Response) -> float:
        """The same after a stream that ended at once, without an event or a heartbeat."""
        self._made += 1
        if self._made >= self._retry.attempts:
            raise ConnectionFailedError(f"{shown(response.url)} ends at once each time, without an event")
        return self._retry.wait(self._made)

    def after(self, response: httpx.Response) -> float | None:
        """None if the answer is a success, else the seconds to wait; raises the `ClientError` if it is final."""
        if response.status_code < 300:
            return None
        if response.status_code < 400:
            # Not followed: it may lead to a place that must not see the key, and most methods would become GET.
            raise UnexpectedAnswerError(_redirected(response))
        self._made += 1
        error = read_problem(response)
        delay = self._retry.wait(self._made) if error.retry_after is None else error.retry_after
        # 429 is sent before the request has any effect, so it may be repeated in any case.
        transient = response.status_code in _TRANSIENT and (self._repeatable or response.status_code == 429)
        if not transient or self._is_over() or delay > self._retry.longest_wait:
            raise error
        return self._within(delay)


def _explain(error: httpx.TransportError) -> str:
    return f"no answer from {_address(error)}: {str(error) or type(error).__name__}"


def _address(error: httpx.RequestError) -> str:
    try:
        return shown(error.request.url)
    except RuntimeError:
        return "the server"


def _redirected(response: httpx.Response) -> str:
    answered = f"{shown(response.url)} answered {response.status_code}"
    place = redirected_to(response)
    if place is None:
        return f"{answered}. Is this a Sentiloc server?"
    return f"{answered}, a redirect to {place}. Is the server's address right?"


def redirected_to(response: httpx.Response) -> str | None:
    """The place of a redirect for people, or None if the answer names none, or one that is no URL."""
    if "location" not in response.headers:
        return None
    try:
        return shown(response.url.join(response.headers["location"]))
    except (httpx.InvalidURL, UnicodeError):
        return None


@contextmanager
def checked_places() -> Iterator[None]:
    """Raise `UnexpectedAnswerError` for an answer that leads to something that is no address."""
    try:
        yield
    except UnicodeEncodeError:
        # A header of the caller's own.
        raise
    # The second is of a host that is no name of the domain name system.
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UnexpectedAnswerError(f"the server names a place that is no address: {error}") from error


def shown(url: httpx.URL) -> str:
    """A URL for people, without a password, and without the query, which may hold a signature."""
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))


def media_type(response: httpx.Response) -> str:
    """The media type of an answer, without parameters."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def read_problem(response: httpx.Response) -> ApiError:
    """The error that a response carries; raises `UnexpectedAnswerError` for one that Sentiloc did not write."""
    retry_after = parse_retry_after(response.headers.get("retry-after"))
    status = response.status_code
    if media_type(response) == _PROBLEM:
        try:
            body = response.json()
            error = api_error(status, body["code"], body["title"], body["detail"], retry_after)
            error.problem = body
            return error
        except (*NOT_JSON, KeyError, TypeError):
            pass
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        detail = "a proxy refuses requests of this length; a resumable upload sends several short ones"
        return api_error(status, f"http_{status}", response.reason_phrase, detail, retry_after)
    if status in _TRANSIENT:
        detail = f"the server or a proxy answered {status} {response.reason_phrase}"
        return api_error(status, f"http_{status}", response.reason_phrase, detail, retry_after)
    raise UnexpectedAnswerError(
        f"{shown(response.url)} answered {status} without a problem document. Is this a Sentiloc server?"
    )


def parse_retry_after(value: str | None, default: float | None = None) -> float | None:
    """Seconds of a `Retry-After` header: a number or an HTTP date."""
    if not value:
        return default
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return default
