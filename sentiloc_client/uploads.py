"""A multipart body that is read from the file while it is sent: memory does not grow with the video."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import anyio.to_thread

from sentiloc_client.decoding import encode
from sentiloc_client.models import JobOptions

Progress = Callable[[int, int], None]
Video = str | PathLike[str] | BinaryIO
CHUNK_BYTES = 256 * 1024


class UploadBody:
    """The form of `POST /localize`; each iteration sends the whole of it again, from the file's start.

    `video` is a path or a seekable binary file. `progress(sent, total)` is called in bytes of the video.
    """

    def __init__(
        self, video: Video, options: JobOptions | None, name: str | None, progress: Progress | None
    ) -> None:
        self._path = Path(video) if isinstance(video, str | PathLike) else None
        self._file = None if isinstance(video, str | PathLike) else video
        self._progress = progress
        self._at = self._file.tell() if self._file is not None else 0
        self._boundary = f"sentiloc-{secrets.token_hex(16)}"
        self._head = self._before(name or self._own_name(), encode(options) if options else None)
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()
        with self._opened() as file:
            self.total = file.seek(0, 2) - self._at
            file.seek(self._at)

    @property
    def headers(self) -> dict[str, str]:
        """Type and length of the body."""
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(len(self._head) + self.total + len(self._tail)),
        }

    def chunks(self) -> Iterator[bytes]:
        """The body."""
        yield self._head
        with self._opened() as file:
            for sent in self._steps():
                chunk = file.read(min(CHUNK_BYTES, self.total - sent))
                yield self._checked(chunk)
                self._tell(sent + len(chunk))
        yield self._tail

    async def achunks(self) -> AsyncIterator[bytes]:
        """The body, read in a thread."""
        yield self._head
        with self._opened() as file:
            for sent in self._steps():
                chunk = await anyio.to_thread.run_sync(file.read, min(CHUNK_BYTES, self.total - sent))
                yield self._checked(chunk)
                self._tell(sent + len(chunk))
        yield self._tail

    def _steps(self) -> range:
        self._tell(0)
        return range(0, self.total, CHUNK_BYTES)

    def _tell(self, sent: int) -> None:
        if self._progress is not None:
            self._progress(sent, self.total)

    def _checked(self, chunk: bytes) -> bytes:
        if not chunk:
            raise OSError("the video became shorter while it was sent")
        return chunk

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        if self._file is not None:
            self._file.seek(self._at)
            yield self._file
            return
        assert self._path is not None  # noqa: S101
        with self._path.open("rb") as file:
            yield file

    def _own_name(self) -> str:
        return self._path.name if self._path else Path(str(getattr(self._file, "name", "video"))).name

    def _before(self, name: str, options: Any) -> bytes:
        parts = []
        if options is not None:
            parts.append(
                f'--{self._boundary}\r\nContent-Disposition: form-data; name="options"\r\n'
                f"Content-Type: application/json\r\n\r\n{json.dumps(options)}\r\n"
            )
        parts.append(
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="video"; filename="{_escaped(name)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        return "".join(parts).encode()


def _escaped(name: str) -> str:
    """As browsers write a file's name into a form."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
