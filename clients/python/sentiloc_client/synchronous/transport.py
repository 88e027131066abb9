# Generated from `asynchronous` by `clients/python/unasync.py`: change that one.
"""Sends the calls of `Client`: connections, retries, uploads in steps, event streams."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

import httpx

from .. import calls, sending
from ..errors import ClientError, Code, NotFoundError
from ..events import EventLines, require_stream
from ..models import Event, Job
from ..reading import BodyReader
from ..retries import Attempts, Retry, checked_places

T = TypeVar("T")
# A stream that ends sooner, without an event or a heartbeat, counts as a failure.
_AT_ONCE_SECONDS = 1.0


class Transport:
    """Sends calls to one server, with retries."""

    def __init__(
        self,
        server: str | None = None,
        *,
        api_key: str | None = None,
        retry: Retry | None = None,
        timeout: httpx.Timeout | float = calls.DEFAULT_TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**calls.connection(server, api_key), timeout=timeout, transport=transport)
        self._retry = retry or Retry()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def server(self) -> str:
        """The server's address."""
        return str(self._http.base_url)

    def _listen(self, job_id: str, lines: EventLines, attempts: Attempts) -> Generator[Event, None]:
        path, headers = calls.events_path(job_id), lines.begin()
        with self._http.stream("GET", path, headers=headers, timeout=calls.EVENTS_TIMEOUT) as response:
            if response.status_code == 204:
                lines.ended = True
                return
            if response.status_code >= 300:
                # The body of an error has to be read before it can be parsed.
                response.read()
                time.sleep(attempts.after(response) or 0.0)
                return
            require_stream(response)
            begun, is_silent = monotonic(), True
            for line in response.iter_lines():
                event = lines.feed(line)
                if event is not None or line.startswith(":"):
                    # An event or a heartbeat shows that the server works, so earlier failures no longer count.
                    # The line `retry:` does not: it begins every stream.
                    is_silent = False
                    attempts.begin_again()
                if event is not None:
                    yield event
                if lines.ended:
                    return
            if is_silent and monotonic() - begun < _AT_ONCE_SECONDS:
                time.sleep(attempts.after_silence(response))

    def _follow(self, steps: sending.Steps) -> Job:
        try:
            step = next(steps)
            while True:
                try:
                    answer = None
                    if isinstance(step, float):
                        time.sleep(step)
                    else:
                        answer = self._send(step)
                except ClientError as error:
                    # The steps decide which errors they can handle, such as a wrong offset.
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            job: Job = end.value
            return job

    def _send(self, call: calls.Call[T], ends_at: float | None = None) -> T:
        attempts = Attempts(self._retry, repeatable=call.repeatable, ends_at=ends_at)
        while True:
            try:
                response = self._request(call, attempts)
            except httpx.RequestError as error:
                delay = attempts.after_error(error)
            else:
                stored = call.at_store(response)
                if stored is not None:
                    call = stored
                    continue
                wait = None if response.status_code in call.accepted else attempts.after(response)
                if wait is None:
                    return call.parse(response)
                delay = wait
            time.sleep(delay)

    def _remove(self, call: calls.Call[bool], gone: Code) -> None:
        """Send the call that deletes something until it is deleted.

        The answer `gone` means that it is already deleted, which is not an error.
        """
        try:
            # The first request only cancels what is running; it is deleted once it has ended.
            while not self._send(call):
                pass
        except NotFoundError as error:
            # Any other 404 comes from a wrong address, where nothing was deleted.
            if error.code != gone:
                raise

    def _request(self, call: calls.Call[T], attempts: Attempts) -> httpx.Response:
        if call.body is None:
            return self._exchange(call, None, attempts)
        # Closed at once, so that the video is not left open until the garbage collector finds it.
        with closing(call.body.chunks()) as content:
            return self._exchange(call, content, attempts)

    def _exchange(
        self, call: calls.Call[T], content: Generator[bytes, None] | None, attempts: Attempts
    ) -> httpx.Response:
        timeout = attempts.timeout(self._http.timeout)
        with checked_places():
            if call.foreign:
                # A new client: this one would send the API key to the object store.
                with (
                    httpx.Client(timeout=timeout) as http,
                    http.stream(call.method, call.path, headers=call.headers, content=content) as response,
                ):
                    return _whole(response, call, attempts)
            with self._http.stream(
                call.method,
                call.path,
                params=call.params,
                headers=call.headers,
                json=call.json,
                content=content,
                timeout=timeout,
            ) as response:
                return _whole(response, call, attempts)


def _whole(response: httpx.Response, call: calls.Call[T], attempts: Attempts) -> httpx.Response:
    """The answer with its body."""
    reader = BodyReader(response, is_file=call.is_file, ends_at=attempts.answered_by())
    for part in response.iter_bytes():
        reader.add(part)
    return reader.answer()
