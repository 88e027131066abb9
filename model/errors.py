"""Errors with a stable code, from the decoder up to the HTTP problem that a client sees."""

from __future__ import annotations

import copyreg
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Why a video, a package or a job could not be used. Values are part of the public contract."""

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
    UPLOAD_TOO_LARGE = "upload_too_large"
    MODEL_UNAVAILABLE = "model_unavailable"
    WEIGHTS_MISSING = "weights_missing"
    SPEC_MISMATCH = "spec_mismatch"
    DEVICE_UNAVAILABLE = "device_unavailable"
    INVALID_DATA = "invalid_data"
    QUOTA_EXCEEDED = "quota_exceeded"
    STORAGE_QUOTA_EXCEEDED = "storage_quota_exceeded"
    CANCELLED = "cancelled"
    POISON = "poison"
    INTERNAL = "internal"


class SentilocError(Exception):
    """An expected failure: `code` is stable, `detail` is one sentence that is safe to show to a client."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it holds: the arguments of the constructor differ from `args`, which pickle would pass."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class LostProcessError(SentilocError):
    """A process of this program could not be started, or was ended from outside. Another attempt may succeed."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.INTERNAL, detail)


class KilledProcessError(LostProcessError):
    """Only the process that worked on one video was killed, by a person or by a guard of the machine's memory. Another
    attempt may succeed, but should not be repeated many times.
    """
