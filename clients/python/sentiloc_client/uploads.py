"""Request bodies that are read from the video while they are sent, so that memory does not grow with it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Protocol

import anyio.to_thread

Progress = Callable[[int, int], None]
Video = str | PathLike[str] | BinaryIO
# Large enough for speed, small enough for smooth progress reports.
CHUNK_BYTES = 256 * 1024


class Body(Protocol):
    """The body of a request. Each iteration starts from the beginning."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers for type and length."""

    def chunks(self) -> Generator[bytes, None, None]:
        """The body."""

    def achunks(self) -> AsyncGenerator[bytes, None]:
        """The body, read in a thread."""


class VideoFile:
    """A path, or a seekable binary file from its current position; `progress(sent, total)` is called with bytes."""

    def __init__(self, video: Video, name: str | None, progress: Progress | None) -> None:
        self._path = Path(video) if isinstance(video, str | PathLike) else None
        self._file = None if isinstance(video, str | PathLike) else video
        self._progress = progress
        self._at = self._file.tell() if self._file is not None else 0
        self.name = _sendable(name or self._own_name())
        with self._opened(0) as file:
            self.total: int = file.seek(0, 2) - self._at
            file.seek(self._at)

    def chunks(self, start: int, stop: int) -> Generator[bytes, None, None]:
        """Bytes `start` to `stop`."""
        self._tell(start)
        with self._opened(start) as file:
            sent = start
            # A file may return less than it is asked for.
            while sent < stop:
                chunk = file.read(min(CHUNK_BYTES, stop - sent))
                yield _checked(chunk)
                sent += len(chunk)
                self._tell(sent)

    async def achunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The same, read in a thread."""
        self._tell(start)
        with self._opened(start) as file:
            sent = start
            while sent < stop:
                chunk = await anyio.to_thread.run_sync(file.read, min(CHUNK_BYTES, stop - sent))
                yield _checked(chunk)
                sent += len(chunk)
                self._tell(sent)

    def _tell(self, sent: int) -> None:
        if self._progress is not None:
            self._progress(sent, self.total)

    @contextmanager
    def _opened(self, start: int) -> Iterator[BinaryIO]:
        if self._file is not None:
            self._file.seek(self._at + start)
            yield self._file
            return
        assert self._path is not None  # noqa: S101
        with self._path.open("rb") as file:
            file.seek(start)
            yield file

    def _own_name(self) -> str:
        if self._path is not None:
            return self._path.name
        # A file without a name has a number, or None.
        name = getattr(self._file, "name", None)
        return Path(name).name if isinstance(name, str) else "video"


class FormBody:
    """A form: `fields`, each with its type or None, and last the video as `file_field`."""

    def __init__(
        self, video: VideoFile, file_field: str, fields: Mapping[str, tuple[str | None, str]]
    ) -> None:
        self._video = video
        self._boundary = f"sentiloc-{secrets.token_hex(16)}"
        self._head = self._before(file_field, fields)
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()

    @property
    def headers(self) -> dict[str, str]:
        """Type and length of the form."""
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(len(self._head) + self._video.total + len(self._tail)),
        }

    def chunks(self) -> Generator[bytes, None, None]:
        """The form."""
        yield self._head
        yield from self._video.chunks(0, self._video.total)
        yield self._tail

    async def achunks(self) -> AsyncGenerator[bytes, None]:
        """The form, the video read in a thread."""
        yield self._head
        # Closed with this generator, so that the video is not left open.
        async with aclosing(self._video.achunks(0, self._video.total)) as video:
            async for chunk in video:
                yield chunk
        yield self._tail

    def _before(self, file_field: str, fields: Mapping[str, tuple[str | None, str]]) -> bytes:
        parts = []
        for field, (kind, text) in fields.items():
            typed = f"Content-Type: {kind}\r\n" if kind else ""
            head = f'--{self._boundary}\r\nContent-Disposition: form-data; name="{_escaped(field)}"\r\n'
            parts.append(f"{head}{typed}\r\n{text}\r\n")
        parts.append(
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{file_field}"; '
            f'filename="{_escaped(self._video.name)}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        return "".join(parts).encode()


class PieceBody:
    """A chunk of a resumable upload: bytes `start` to `stop` of the video."""

    def __init__(self, video: VideoFile, start: int, stop: int) -> None:
        self._video, self._start, self._stop = video, start, stop

    @property
    def headers(self) -> dict[str, str]:
        """The headers for the chunk's offset and length."""
        return {
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(self._stop - self._start),
            "Upload-Offset": str(self._start),
        }

    def chunks(self) -> Generator[bytes, None, None]:
        """The piece."""
        return self._video.chunks(self._start, self._stop)

    def achunks(self) -> AsyncGenerator[bytes, None]:
        """The piece, read in a thread."""
        return self._video.achunks(self._start, self._stop)


def _checked(chunk: bytes) -> bytes:
    if not chunk:
        raise OSError("the video became shorter while it was sent")
    return chunk


def _sendable(name: str) -> str:
    """A name in Unicode. Names on disk may be bytes of another encoding, which Python reads as surrogates."""
    return "".join("\ufffd" if "\ud800" <= one <= "\udfff" else one for one in name)


def _escaped(name: str) -> str:
    """Escape a file name as browsers do in forms."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
