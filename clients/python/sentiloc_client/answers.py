"""Parsers of answers. All raise `UnexpectedAnswerError` for an answer that is not one of the API.

Only `readiness` also raises the `ApiError` of a proxy's 503. That call is not repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from xml.etree import ElementTree

import httpx

from .decoding import NOT_JSON, decode
from .errors import UnexpectedAnswerError
from .results import Result
from .retries import media_type, read_problem, redirected_to, shown
from .service import Readiness

T = TypeVar("T")


def json_of(response: httpx.Response) -> Any:
    """The JSON of an answer."""
    try:
        return response.json()
    except NOT_JSON as error:
        raise _other_than(response, "JSON") from error


def _other_than(response: httpx.Response, wanted: str) -> UnexpectedAnswerError:
    detail = (
        f"{shown(response.url)} answered {response.status_code} without {wanted}. Is this a Sentiloc server?"
    )
    return UnexpectedAnswerError(detail)


def file_content(response: httpx.Response) -> bytes:
    """The bytes of a file. A page that a proxy sends instead, such as a login page, is refused. The server names its
    files, even HTML ones.
    """
    if media_type(response) == "text/html" and "content-disposition" not in response.headers:
        raise _other_than(response, "a file")
    return response.content


def require_stored(response: httpx.Response) -> None:
    """Raise an error with the reason that an object store gives for its refusal, or with the target of a redirect."""
    if response.status_code < 300:
        return
    place = redirected_to(response)
    said = [_store_code(response), place and f"a redirect to {place}"]
    reason = ", ".join(filter(None, said)) or "no reason given"
    raise UnexpectedAnswerError(f"the object store answered {response.status_code}: {reason}")


def _store_code(response: httpx.Response) -> str | None:
    try:
        return ElementTree.fromstring(response.content).findtext("Code")  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError):
        # The last two are of encodings that the parser does not know.
        return None


def deleted(kind: type[Any]) -> Callable[[httpx.Response], bool]:
    """A parser of the answer to DELETE: True without a body, False with an object that was only cancelled."""

    def parse(response: httpx.Response) -> bool:
        if response.status_code == 204:
            return True
        decode(kind, json_of(response))
        return False

    return parse


def nothing(response: httpx.Response) -> bool:
    """The parser of an answer without a body, 204: True, as of `deleted`."""
    if response.status_code != 204:
        raise UnexpectedAnswerError(f"{shown(response.url)} answered {response.status_code} instead of 204")
    return True


def sentiment(response: httpx.Response) -> Result:
    """The parser of results."""
    raw = json_of(response)
    if isinstance(raw, dict) and "task" in raw and raw["task"] != "sentiment":
        detail = f"the job's model has another task, {raw['task']}: read it as render(job_id, 'json')"
        raise UnexpectedAnswerError(detail)
    return decode(Result, raw)


def one(kind: type[T]) -> Callable[[httpx.Response], T]:
    """A parser of answers as a dataclass."""
    return lambda response: decode(kind, json_of(response))


def many(kind: type[T]) -> Callable[[httpx.Response], tuple[T, ...]]:
    """A parser of a list of dataclasses."""

    def parse(response: httpx.Response) -> tuple[T, ...]:
        found = json_of(response)
        if not isinstance(found, list):
            raise UnexpectedAnswerError(f"{shown(response.url)}: expected a list")
        return tuple(decode(kind, item) for item in found)

    return parse


def readiness(response: httpx.Response) -> Readiness:
    """The parser of `/readyz`."""
    # A server that is not ready answers 503 as well, but with its reasons.
    if response.status_code == 503 and media_type(response) != "application/json":
        raise read_problem(response)
    return decode(Readiness, json_of(response))
