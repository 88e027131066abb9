"""Connections to an S3-compatible object store, and its errors in our terms.

Credentials are found in the usual way of AWS clients (environment, profile, instance role).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from sentiloc.app.settings import Settings
from sentiloc.app.storage.breaker import StoreUnreachableError
from sentiloc.model.errors import ErrorCode, SentilocError

_CONNECT_SECONDS = 5.0
# HEAD has no body, so boto3 only knows the status; the other names come from GET and from other servers.
_MISSING = {"404", "NoSuchKey", "NotFound"}

# After a redirect botocore asks for the bucket's region, which is redirected, too, and so on.
REDIRECTED = "The object store answers with a redirect. The operator can correct SENTILOC_STORAGE_ENDPOINT."


def connect_seconds(settings: Settings) -> float:
    """How long a connection may take to open."""
    return min(_CONNECT_SECONDS, settings.storage_timeout_seconds)


def link_origin(settings: Settings, bucket: str) -> str:
    """The origin of the URLs of objects. No credentials are needed to compute it; they may be set later."""
    endpoint = settings.storage_public_endpoint or settings.storage_endpoint
    unsigned = connect_s3(settings, endpoint, signature=UNSIGNED)
    url = urlsplit(unsigned.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "any"}))
    return f"{url.scheme}://{url.netloc}"


def connect_s3(settings: Settings, endpoint: str | None, signature: object = "s3v4") -> Any:
    """A client of the object store at `endpoint`; None is AWS."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=settings.storage_region,
        config=Config(
            signature_version=signature,
            connect_timeout=connect_seconds(settings),
            read_timeout=settings.storage_timeout_seconds,
            retries={"mode": "standard", "total_max_attempts": 2},
            # Other servers usually have no DNS name for each bucket.
            s3={"addressing_style": "path" if endpoint else "auto"},
        ),
    )


@contextmanager
def errors_are_typed() -> Iterator[None]:
    """Raise `source_missing` or `storage_unavailable` for errors of the client."""
    try:
        yield
    except (ClientError, BotoCoreError, boto3.exceptions.Boto3Error) as error:
        # Around an upload, boto3 puts an error of its own.
        refusal = error.__context__ if isinstance(error, boto3.exceptions.S3UploadFailedError) else error
        if isinstance(refusal, ClientError):
            raise _refused(refusal) from refusal
        raise StoreUnreachableError("The object store cannot be reached.") from error
    except RecursionError as error:
        raise StoreUnreachableError(REDIRECTED) from error


def is_missing(error: ClientError) -> bool:
    """Whether the store answers that there is no such object or bucket."""
    return error.response.get("Error", {}).get("Code") in _MISSING


def _refused(error: ClientError) -> SentilocError:
    if is_missing(error):
        return SentilocError(ErrorCode.SOURCE_MISSING, "The file is no longer stored.")
    return SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "The object store refused the request.")
