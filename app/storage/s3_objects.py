"""Reads objects that clients name as `s3://bucket/key`, with the credentials of this server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from sentiloc.app.places import Place
from sentiloc.app.settings import Settings
from sentiloc.app.storage.s3_client import REDIRECTED, connect_s3
from sentiloc.model.errors import ErrorCode, SentilocError

# Bounds the memory of the worker, whatever the size of the video.
_CHUNK = 1 << 20
# From this status on the fault is the store's and may be temporary; below it, the request's.
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Object:
    """An object that is being read: its size in bytes and its content."""

    size: int
    chunks: Iterator[bytes]


@contextmanager
def open_object(place: Place, settings: Settings) -> Iterator[Object]:
    """Open an object. Raises `url_unreachable` if it does not exist or may not be read, and `storage_unavailable` if
    the store cannot be reached.
    """
    try:
        # A client per fetch: videos are few and large, and the credentials may have changed.
        found = connect_s3(settings, settings.storage_endpoint).get_object(Bucket=place.bucket, Key=place.key)
        with closing(found["Body"]) as body:
            yield Object(int(found["ContentLength"]), body.iter_chunks(_CHUNK))
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
        if status >= _SERVER_ERROR:
            raise SentilocError(
                ErrorCode.STORAGE_UNAVAILABLE, "The object store refused the request."
            ) from error
        code = error.response.get("Error", {}).get("Code", status)
        detail = f"The object could not be fetched: the store answered {code}."
        raise SentilocError(ErrorCode.URL_UNREACHABLE, detail) from error
    except BotoCoreError as error:
        raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "The object store cannot be reached.") from error
    except RecursionError as error:
        raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, REDIRECTED) from error
