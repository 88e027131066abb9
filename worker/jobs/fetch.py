"""The first stage of a job with a URL: fetch its video into the storage."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpcore

from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.outbound.client import Outbound, header_texts
from sentiloc.app.places import SCHEME, parse_place
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

# Small, because most jobs with a URL take far longer to process than to fetch.
FETCHING_UNTIL = 0.05
"""Share of the job's progress that fetching counts for."""
_POLL_SECONDS = 0.25


def fetch_source(
    record: JobRecord,
    storage: Storage,
    settings: Settings,
    report: Callable[[str, float], None],
    is_dropped: Callable[[], bool] = lambda: False,
) -> int:
    """Store what `record.source_url` names under `record.source_key`; returns its bytes.

    `report` is called several times a second and ends the work by raising. A resolver or server that hangs cannot delay
    it, because a separate thread waits for them. `is_dropped` says whether the job was cancelled or deleted; its video
    is then not kept. Raises `url_forbidden`, `url_unreachable`, `upload_too_large`,
    `empty_file` and `storage_full`.
    """
    fetch = _Fetch(record, storage, settings, Outbound(settings.outbound_allow), is_dropped)
    # A daemon: a resolver that hangs cannot be stopped, and must not keep the process alive.
    threading.Thread(target=fetch.run, name="fetch", daemon=True).start()
    try:
        # Reporting here, in the job's thread, is what notices a cancellation.
        while not fetch.is_done():
            report("fetching", fetch.share * FETCHING_UNTIL)
    finally:
        # In `finally`, because `report` ends the work by raising.
        fetch.stop.set()
    if isinstance(fetch.outcome, BaseException):
        raise fetch.outcome
    return fetch.outcome


@dataclass(slots=True)
class _Fetch:
    record: JobRecord
    storage: Storage
    settings: Settings
    outbound: Outbound
    is_dropped: Callable[[], bool]
    stop: threading.Event = field(default_factory=threading.Event)
    share: float = 0.0
    outcome: int | BaseException = 0
    _done: queue.SimpleQueue[int | BaseException] = field(default_factory=queue.SimpleQueue)

    def is_done(self) -> bool:
        """Wait a moment; True once there is an `outcome`."""
        with suppress(queue.Empty):
            self.outcome = self._done.get(timeout=_POLL_SECONDS)
            return True
        return False

    def run(self) -> None:
        """The body of the thread."""
        try:
            self._done.put(self._fetch())
        except BaseException as error:
            self._done.put(error)

    def _fetch(self) -> int:
        url = self.record.source_url or ""
        with self._from_store(url) if url.startswith(SCHEME) else self._from_web(url) as chunks:
            return self._keep(chunks)

    @contextmanager
    def _from_web(self, url: str) -> Iterator[Iterator[bytes]]:
        with self.outbound.stream(
            "GET",
            url,
            headers={"User-Agent": "Sentiloc", "Accept": "video/*, */*"},
            total_seconds=self.settings.fetch_seconds,
            idle_seconds=self.settings.upload_idle_seconds,
            stopped=self.stop.is_set,
        ) as response:
            yield self._chunks(response)

    @contextmanager
    def _from_store(self, url: str) -> Iterator[Iterator[bytes]]:
        # The API accepts such a URL only if the object store's client is installed.
        from sentiloc.app.storage.s3_objects import open_object

        with open_object(parse_place(url), self.settings) as found:
            yield self._of_object(found.size, found.chunks)

    def _of_object(self, length: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size, deadline = 0, time.monotonic() + self.settings.fetch_seconds
        self._require_size(length)
        for chunk in chunks:
            if self.stop.is_set() or time.monotonic() > deadline:
                raise SentilocError(ErrorCode.URL_UNREACHABLE, "The object could not be fetched in time.")
            size += len(chunk)
            self.share = size / max(1, length)
            yield chunk

    def _keep(self, chunks: Iterator[bytes]) -> int:
        """Store the bytes as the job's video; returns their number."""
        size = 0
        with self.storage.writer(self.record.source_key) as writer:
            for chunk in chunks:
                size += len(chunk)
                writer.write(chunk)
            if size == 0:
                raise SentilocError(ErrorCode.EMPTY_FILE, "The video is an empty file.")
            # The job may have been given to another worker, whose file must not be replaced.
            if self.stop.is_set():
                raise SentilocError(ErrorCode.CANCELLED, "The job stopped.")
            writer.commit()
        # Whoever deleted the job meanwhile could not delete this video.
        if self.is_dropped():
            self.storage.delete(self.record.source_key)
            raise SentilocError(ErrorCode.CANCELLED, "The job stopped.")
        logger.info("fetched %d bytes", size)
        return size

    def _chunks(self, response: httpcore.Response) -> Iterator[bytes]:
        """Yield the body, within the limits of size and speed."""
        announced = header_texts(response).get("content-length", "")
        length = int(announced) if announced.isascii() and announced.isdigit() else None
        self._require(response, length or 0)
        size, pace = 0, _Pace(self.settings)
        for chunk in response.iter_stream():
            size += len(chunk)
            self._require(response, size)
            pace.add(len(chunk))
            self.share = size / length if length else 0.0
            yield chunk

    def _require(self, response: httpcore.Response, size: int) -> None:
        if response.status != 200:
            is_redirect = 300 <= response.status < 400
            more = "; redirects are not followed" if is_redirect else ""
            detail = f"The URL could not be fetched: it answered with status {response.status}{more}."
            raise SentilocError(ErrorCode.URL_UNREACHABLE, detail)
        self._require_size(size)

    def _require_size(self, size: int) -> None:
        limit = self.settings.max_upload_bytes
        # Checked with the announced length first, then with every chunk: the announcement may be wrong.
        if size > limit:
            detail = f"The video is larger than {limit} bytes, which is the most this server takes."
            raise SentilocError(ErrorCode.UPLOAD_TOO_LARGE, detail)


class _Pace:
    """Ends a download that is too slow."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.slow_body_seconds
        self._least = settings.slow_body_bytes_per_second * self._seconds
        self._since = time.monotonic()
        self._size = 0

    def add(self, size: int) -> None:
        """Count received bytes; raises `url_unreachable` below the minimum speed."""
        self._size += size
        now = time.monotonic()
        # Measured over a whole interval, so a short pause of a fast server does not count.
        if now - self._since < self._seconds:
            return
        if self._size < self._least:
            detail = "The URL could not be fetched: the server sends too slowly."
            raise SentilocError(ErrorCode.URL_UNREACHABLE, detail)
        self._since, self._size = now, 0
