"""The problems of uploads."""

from __future__ import annotations

from sentiloc.app.http.problems import ProblemCode, TypedProblem
from sentiloc.model.errors import ErrorCode


class UploadNotFound(TypedProblem):
    """The id is unknown, or belongs to another API key."""

    of_status = 404
    of_code = ProblemCode.UPLOAD_NOT_FOUND
    example = "There is no upload with this id."


class UploadGone(TypedProblem):
    """The upload existed; its bytes are deleted."""

    of_status = 410
    of_code = ProblemCode.UPLOAD_GONE
    example = "The upload was ended, has expired, or its job was deleted. Begin a new upload."


class UploadElsewhere(TypedProblem):
    """The bytes of an unfinished upload are on the machine of the API process that received them."""

    of_status = 409
    of_code = ProblemCode.UPLOAD_ELSEWHERE
    example = (
        "This server does not hold the upload's bytes; another API process may. Send all requests of one upload to "
        "the same server, let all share a data folder, or use `POST /v1/uploads/presign`."
    )


class UploadUnfinished(TypedProblem):
    """A job was requested before all bytes had arrived. `length` is None while the client has not stated it."""

    of_status = 409
    of_code = ProblemCode.UPLOAD_UNFINISHED
    example = "The upload is at byte 1048576 of 209715200. Send the rest first."

    def __init__(self, offset: int, length: int | None) -> None:
        of_all = "" if length is None else f" of {length}"
        super().__init__(f"The upload is at byte {offset}{of_all}. Send the rest first.")


class UploadUsed(TypedProblem):
    """An upload has one job at most."""

    of_status = 409
    of_code = ProblemCode.UPLOAD_USED
    example = "This upload already has a job, with other options."


class UploadBusy(TypedProblem):
    """Only one request at a time may write to an upload."""

    of_status = 423
    of_code = ProblemCode.UPLOAD_BUSY
    example = "Another request writes to this upload. Try again in a moment."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class OffsetMismatch(TypedProblem):
    """A chunk must begin where the bytes on the server end: at `start`, not at `offset`."""

    of_status = 409
    of_code = ProblemCode.OFFSET_MISMATCH
    example = "The upload is at offset 1048576, not at 0."

    def __init__(self, start: int, offset: int) -> None:
        super().__init__(f"The upload is at offset {start}, not at {offset}.")


class UploadComplete(TypedProblem):
    """A chunk was sent to an upload of `length` bytes that has all of them."""

    of_status = 409
    of_code = ProblemCode.OFFSET_MISMATCH
    example = "The upload is complete: all of its 209715200 bytes are here."

    def __init__(self, length: int | None) -> None:
        super().__init__(f"The upload is complete: all of its {length} bytes are here.")


class ChecksumMismatch(TypedProblem):
    """The bytes that arrived do not have the hash that the client sent."""

    of_status = 460
    of_code = ProblemCode.CHECKSUM_MISMATCH
    example = "The chunk does not have this checksum. It was discarded; send it again."


class TooManyUploads(TypedProblem):
    """The server has the maximum number of unfinished uploads."""

    of_status = 503
    of_code = ProblemCode.TOO_MANY_UPLOADS
    example = "The server has the maximum number of open uploads. Try again later."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "60"})


class InvalidTusHeader(TypedProblem):
    """A header of the tus protocol is missing or malformed."""

    of_status = 400
    of_code = ProblemCode.INVALID_TUS_HEADER
    example = "Send either `Upload-Length` or `Upload-Defer-Length: 1`."


class NotPresigned(TypedProblem):
    """Presigned uploads need an object store."""

    of_status = 409
    of_code = ProblemCode.NOT_PRESIGNED
    example = "This server has no object store. Send the video to the server itself."


class EmptyVideo(TypedProblem):
    """The video has no bytes."""

    of_status = 422
    of_code = ErrorCode.EMPTY_FILE
    example = "The video is an empty file."
