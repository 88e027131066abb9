"""Exceptions, grouped by how a program would react. Codes are the server's and are stable."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .batches import Batch
    from .models import Failure, Job


class Code(StrEnum):
    """Every `code` that the server documents. A newer server may send others: compare, do not convert."""

    BAD_REQUEST = "bad_request"
    INVALID_REQUEST = "invalid_request"
    JOB_NOT_FOUND = "job_not_found"
    BATCH_NOT_FOUND = "batch_not_found"
    WEBHOOK_NOT_FOUND = "webhook_not_found"
    KEY_NOT_FOUND = "key_not_found"
    TOO_MANY_WEBHOOKS = "too_many_webhooks"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UPLOAD_TIMEOUT = "upload_timeout"
    UPLOAD_INCOMPLETE = "upload_incomplete"
    UPLOAD_TOO_LARGE = "upload_too_large"
    UPLOAD_NOT_FOUND = "upload_not_found"
    UPLOAD_GONE = "upload_gone"
    UPLOAD_BUSY = "upload_busy"
    UPLOAD_UNFINISHED = "upload_unfinished"
    UPLOAD_USED = "upload_used"
    OFFSET_MISMATCH = "offset_mismatch"
    UPLOAD_ELSEWHERE = "upload_elsewhere"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    INVALID_TUS_HEADER = "invalid_tus_header"
    TUS_VERSION = "unsupported_tus_version"
    NOT_A_PIECE = "not_a_piece"
    NOT_PRESIGNED = "not_presigned"
    TOO_MANY_UPLOADS = "too_many_uploads"
    NOT_MULTIPART = "not_multipart"
    MALFORMED_MULTIPART = "malformed_multipart"
    MISSING_FIELD = "missing_field"
    UNEXPECTED_FIELD = "unexpected_field"
    INVALID_CURSOR = "invalid_cursor"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    FEEDBACK_FULL = "feedback_full"
    FEEDBACK_OUTDATED = "feedback_outdated"
    UNKNOWN_HOST = "unknown_host"
    CROSS_SITE = "cross_site"
    BAD_RANGE = "bad_range"
    BODY_TOO_LARGE = "body_too_large"
    UNKNOWN_MODEL = "unknown_model"
    RESULT_NOT_READY = "result_not_ready"
    WRONG_TASK = "wrong_task"
    RESULT_EXPIRED = "result_expired"
    THUMBNAIL_NOT_FOUND = "thumbnail_not_found"
    TOO_MANY_STREAMS = "too_many_streams"
    NO_WEBHOOK = "no_webhook"
    REDIS_UNAVAILABLE = "redis_unavailable"
    REQUEST_TIMEOUT = "request_timeout"
    BUSY = "busy"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    STORAGE_QUOTA_EXCEEDED = "storage_quota_exceeded"
    KEY_LIMIT = "key_limit"
    EMPTY_FILE = "empty_file"
    UNSUPPORTED_FORMAT = "unsupported_format"
    CORRUPT_MEDIA = "corrupt_media"
    NO_VIDEO = "no_video"
    ENCRYPTED = "encrypted"
    LIMIT_EXCEEDED = "limit_exceeded"
    RESOURCE_LIMIT = "resource_limit"
    STORAGE_FULL = "storage_full"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    SOURCE_MISSING = "source_missing"
    URL_FORBIDDEN = "url_forbidden"
    URL_UNREACHABLE = "url_unreachable"
    MODEL_UNAVAILABLE = "model_unavailable"
    WEIGHTS_MISSING = "weights_missing"
    SPEC_MISMATCH = "spec_mismatch"
    DEVICE_UNAVAILABLE = "device_unavailable"
    INVALID_DATA = "invalid_data"
    CANCELLED = "cancelled"
    POISON = "poison"
    INTERNAL = "internal"


class ClientError(Exception):
    """The base of everything that this package raises. It can be pickled, as for another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it holds: the arguments of the constructor differ from `args`, which pickle would pass."""
        return _unpickled, (type(self), self.args), self.__dict__


def _unpickled(kind: type[ClientError], args: tuple[Any, ...]) -> ClientError:
    error = kind.__new__(kind, *args)
    # `TimeoutError` sets its `args` only in the constructor.
    error.args = args
    return error


class ConnectionFailedError(ClientError):
    """The server cannot be reached or stopped answering, after all attempts of the `Retry`."""


class InvalidKeyError(ClientError):
    """The API key has characters that cannot be sent. Nothing was sent."""


class UnexpectedAnswerError(ClientError):
    """The client does not understand the answer: it comes from another program, a proxy, or a newer API."""


class WaitTimeoutError(ClientError):
    """The job did not end in time. It continues. `job` is its last known state."""

    def __init__(self, job: Job, seconds: float) -> None:
        super().__init__(f"job {job.id} is still {job.state} after {seconds:g} seconds")
        self.job = job


class BatchTimeoutError(ClientError, TimeoutError):
    """The batch did not end in time. It continues. `batch` is its last known state."""

    def __init__(self, batch: Batch, seconds: float) -> None:
        super().__init__(f"batch {batch.id} is at {batch.progress:.0%} after {seconds:g} seconds")
        self.batch = batch


class WrongVideoError(ClientError):
    """The upload to continue is of a video of another length."""

    def __init__(self, upload: str, stored: int | None, given: int) -> None:
        super().__init__(f"upload {upload} belongs to a video of {stored} bytes; this video has {given}")


class JobFailedError(ClientError):
    """The job ended without a result; `code` is the job's own, or `cancelled`."""

    def __init__(self, job: Job) -> None:
        error: Failure | None = job.error
        super().__init__(error.detail if error else f"job {job.id} was {job.state}")
        self.job = job
        self.code: str = error.code if error else Code.CANCELLED


class ApiError(ClientError):
    """The server answered with an RFC 9457 problem: `status`, stable `code`, `detail` for people.

    `retry_after` is the number of seconds that the server asks to wait, if any. `problem` is the whole document; it is
    empty for an answer of a proxy.
    """

    def __init__(
        self, status: int, code: str, title: str, detail: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{detail} ({code})")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.problem: Mapping[str, Any] = {}


class InvalidRequestError(ApiError):
    """400, 408, 413, 415, 422: the server does not accept the request or the video."""


class AuthenticationError(ApiError):
    """401, 403: the API key is missing, wrong, or not allowed to do this."""


class NotFoundError(ApiError):
    """404: there is no such job, or it belongs to another key."""


class ResultNotReadyError(ApiError):
    """409 `result_not_ready`: ask again later."""


class ResultGoneError(ApiError):
    """410: the result, or another requested file, is no longer stored."""


class RateLimitedError(ApiError):
    """429: too many requests, or the key's quota is used up."""


class ServerError(ApiError):
    """5xx: the server could not answer; nothing is wrong with the request."""


_BY_STATUS: dict[int, type[ApiError]] = {
    **dict.fromkeys((400, 408, 413, 415, 422), InvalidRequestError),
    **dict.fromkeys((401, 403), AuthenticationError),
    404: NotFoundError,
    410: ResultGoneError,
    429: RateLimitedError,
}


def api_error(status: int, code: str, title: str, detail: str, retry_after: float | None = None) -> ApiError:
    """The error class for a status and code."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if code == Code.RESULT_NOT_READY:
        kind = ResultNotReadyError
    return kind(status, code, title, detail, retry_after)
