"""Streams one file out of a multipart body: bytes are counted and passed on as they arrive, not gathered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sentiloc.app.http.problems import ProblemCode, ProblemError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_NAME = 255
MAX_OPTIONS_BYTES = 16 * 1024
_FIELDS = ("video", "options")


class VideoPart:
    """Feeds on a multipart body, hands the `video` field's bytes to `sink` and keeps the small field `options`.

    Raises `ProblemError` for a malformed body, other fields, a field twice, and more than `limit` bytes.
    """

    def __init__(self, content_type: str, limit: int, sink: Callable[[bytes], None]) -> None:
        self._limit = limit
        self._sink = sink
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = ""
        self._is_complete = False
        self._seen: set[str] = set()
        self._field = ""
        self.options = bytearray()
        self.name = ""
        self.bytes = 0
        self._parser = MultipartParser(_boundary(content_type), self._callbacks())

    def feed(self, chunk: bytes) -> None:
        """Parse the next piece of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed() from error

    def finish(self) -> None:
        """The body has ended: raises unless it held one whole, non-empty `video`."""
        if not self._is_complete:
            raise _malformed()
        if "video" not in self._seen:
            raise ProblemError(422, ProblemCode.MISSING_FIELD, "The form has no field `video`.")

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value_part,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._disposition = ""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_value_part(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if bytes(self._header_name).lower() == b"content-disposition":
            self._disposition = self._header_value.decode("latin-1")
        self._header_name.clear()
        self._header_value.clear()

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        field = _text(options.get(b"name"))
        if kind != b"form-data" or field not in _FIELDS:
            detail = f"The form may only hold the fields `video` and `options`, not {field[:80]!r}."
            raise ProblemError(422, ProblemCode.UNEXPECTED_FIELD, detail)
        if field in self._seen:
            raise ProblemError(422, ProblemCode.UNEXPECTED_FIELD, f"The form holds more than one `{field}`.")
        self._seen.add(field)
        self._field = field
        if field == "video":
            self.name = display_name(_text(options.get(b"filename")))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "options":
            self._options_data(data[start:end])
            return
        self.bytes += end - start
        if self.bytes > self._limit:
            raise too_large(self._limit)
        self._sink(data[start:end])

    def _options_data(self, data: bytes) -> None:
        self.options += data
        if len(self.options) > MAX_OPTIONS_BYTES:
            detail = f"The field `options` is larger than {MAX_OPTIONS_BYTES} bytes."
            raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail)

    def _end(self) -> None:
        self._is_complete = True


def too_large(limit: int) -> ProblemError:
    """The answer to an upload beyond the limit; the rest of the body will not be read."""
    detail = f"The video is larger than {limit} bytes, which is the most this server takes."
    return ProblemError(413, ProblemCode.UPLOAD_TOO_LARGE, detail)


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        detail = "Send the video as multipart/form-data, in a file field named `video`."
        raise ProblemError(415, ProblemCode.NOT_MULTIPART, detail, {"Accept": "multipart/form-data"})
    if len(boundary) > 70:
        raise _malformed()
    return boundary


def _malformed() -> ProblemError:
    return ProblemError(400, ProblemCode.MALFORMED_MULTIPART, "The multipart body is malformed or cut off.")


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def display_name(name: str) -> str:
    """A client's name for a file, without folders and what cannot be shown."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in base if char.isprintable())[:MAX_NAME] or "video"
