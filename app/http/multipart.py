"""Streams one file out of a multipart body. Bytes are counted and passed on as they arrive, never collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sentiloc.app.http.file_names import display_name, disposition_name
from sentiloc.app.http.problems import InvalidRequest, ProblemCode, TypedProblem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# Four times the metadata's limit, for the other options and for escapes.
MAX_OPTIONS_BYTES = 16 * 1024
FORM_OVERHEAD = 1 << 16
"""Allowance for everything in a form except the video: boundaries, headers and the field `options`."""
_FIELDS = ("video", "options")


class UploadTooLarge(TypedProblem):
    """The video exceeds `limit` bytes. The rest of the body is not read."""

    of_status = 413
    of_code = ProblemCode.UPLOAD_TOO_LARGE
    example = "The video is larger than 2147483648 bytes, the maximum of this server."

    def __init__(self, limit: int) -> None:
        super().__init__(f"The video is larger than {limit} bytes, the maximum of this server.")


class MalformedMultipart(TypedProblem):
    """The body breaks the rules of multipart/form-data, or ends too early."""

    of_status = 400
    of_code = ProblemCode.MALFORMED_MULTIPART
    example = "The multipart body is malformed or cut off."


class NotMultipart(TypedProblem):
    """The body has another content type, or no boundary."""

    of_status = 415
    of_code = ProblemCode.NOT_MULTIPART
    example = "Send the video as multipart/form-data, in a file field named `video`."

    def __init__(self) -> None:
        super().__init__(headers={"Accept": "multipart/form-data"})


class MissingField(TypedProblem):
    """The form has no video."""

    of_status = 422
    of_code = ProblemCode.MISSING_FIELD
    example = "The form has no field `video`."


class UnexpectedField(TypedProblem):
    """The form has an unknown field, or a field twice."""

    of_status = 422
    of_code = ProblemCode.UNEXPECTED_FIELD
    example = "The form may only have the fields `video` and `options`, not 'model'."


class VideoPart:
    """Parses a multipart body. The bytes of the field `video` go to `sink`; the small field `options` is kept.

    Raises `MalformedMultipart`, `NotMultipart`, `MissingField`, `UnexpectedField`, and `UploadTooLarge` for a video of
    more than `limit` bytes.
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
        """Parse the next chunk of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            # Also for a part header that is too long: the parser limits it to 4 KiB per field.
            raise MalformedMultipart from error

    def finish(self) -> None:
        """Check the end of the body. Raises unless the body was complete and had a `video`."""
        if not self._is_complete:
            raise MalformedMultipart
        if "video" not in self._seen:
            raise MissingField

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
            # Latin-1 keeps every byte; the name is decoded later, when its form is known.
            self._disposition = self._header_value.decode("latin-1")
        self._header_name.clear()
        self._header_value.clear()

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        field = _text(options.get(b"name"))
        if kind != b"form-data" or field not in _FIELDS:
            detail = f"The form may only have the fields `video` and `options`, not {field[:80]!r}."
            raise UnexpectedField(detail)
        # A second video would otherwise replace or extend the first one.
        if field in self._seen:
            raise UnexpectedField(f"The form has the field `{field}` more than once.")
        self._seen.add(field)
        self._field = field
        if field == "video":
            self.name = display_name(disposition_name(self._disposition))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "options":
            self._options_data(data[start:end])
            return
        # The part's own header and boundary do not count towards the limit.
        self.bytes += end - start
        if self.bytes > self._limit:
            raise UploadTooLarge(self._limit)
        self._sink(data[start:end])

    def _options_data(self, data: bytes) -> None:
        self.options += data
        if len(self.options) > MAX_OPTIONS_BYTES:
            detail = f"The field `options` is larger than {MAX_OPTIONS_BYTES} bytes."
            raise InvalidRequest(detail)

    def _end(self) -> None:
        self._is_complete = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise NotMultipart
    # The longest boundary that RFC 2046 allows.
    if len(boundary) > 70:
        raise MalformedMultipart
    return boundary


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
