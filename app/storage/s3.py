"""Storage in an S3-compatible object store. An object is either completely visible or not at all.

Files are written to a local folder first, so an upload that breaks off never reaches the store.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from sentiloc.app.places import parse_prefix
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Presigned
from sentiloc.app.storage.breaker import Breaker
from sentiloc.app.storage.disk import faults_are_typed
from sentiloc.app.storage.failures import Failures, delete_all
from sentiloc.app.storage.keys import check_key
from sentiloc.app.storage.local import LocalStorage, LocalWriter
from sentiloc.app.storage.s3_client import (
    connect_s3,
    connect_seconds,
    errors_are_typed,
    is_missing,
    link_origin,
)
from sentiloc.model.errors import ErrorCode, SentilocError

# Long enough to start a download; a link needs no key, so it should not live longer.
_LINK_SECONDS = 900
_COPY = ".copy"
# A lock, its copy, and the file that boto3 writes before it gets the copy's name.
_OWN_COPY = re.compile(rf"[0-9a-f]{{16}}(?:{re.escape(_COPY)}(?:\.\w{{8}})?)?")
# The library's five attempts would multiply those of the client.
_DOWNLOAD = TransferConfig(num_download_attempts=2)


class S3Storage:
    """A bucket, or a part of it (`s3://bucket/prefix`), and a local folder for files in transit."""

    def __init__(self, settings: Settings) -> None:
        place = parse_prefix(settings.storage_url or "")
        self._bucket = place.bucket
        self._prefix = f"{place.key.strip('/')}/".lstrip("/")
        self._staging = settings.data_dir / "staging"
        self._staged = LocalStorage(self._staging, settings.upload_reserve_bytes)
        self._client = connect_s3(settings, settings.storage_endpoint)
        # Shorter than any wait for a connection or for an answer.
        self._breaker = Breaker(connect_seconds(settings))
        public = settings.storage_public_endpoint
        # The signature covers the host, so links must be signed for the address that clients use.
        self._signer = connect_s3(settings, public) if public else self._client
        self.link_origin = link_origin(settings, self._bucket)

    def create_bucket(self) -> bool:
        """Create the bucket; False if it existed. Raises `storage_unavailable`."""
        with self._asking():
            if self._has_bucket():
                return False
            region = self._client.meta.region_name
            # AWS refuses us-east-1 as a location constraint.
            place = {} if region == "us-east-1" else {"LocationConstraint": region}
            self._client.create_bucket(
                Bucket=self._bucket, **({"CreateBucketConfiguration": place} if place else {})
            )
            return True

    def _has_bucket(self) -> bool:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if is_missing(error):
                return False
            raise
        return True

    def writer(self, key: str) -> S3Writer:
        """Start a new file, first in the local folder."""
        return S3Writer(self, self._staged.writer(key), self._staging / key, key)

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        """A local copy that is deleted with the context; raises `source_missing`."""
        with self._locked_place() as place:
            # The lock file and the copy are two files, because the download replaces its target.
            copy = place.with_name(f"{place.name}{_COPY}")
            try:
                with faults_are_typed(), self._asking():
                    self._client.download_file(self._bucket, self._name(key), str(copy), Config=_DOWNLOAD)
                yield copy
            finally:
                # What cannot be removed is swept later, and must not hide the error that ends the context.
                with suppress(OSError):
                    copy.unlink(missing_ok=True)

    @contextmanager
    def _locked_place(self) -> Iterator[Path]:
        """A new lock file, whose copy no sweep deletes while the context lasts."""
        while True:
            path = self._staging / "copies" / secrets.token_hex(8)
            with faults_are_typed():
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = path.open("xb")
            with lock:
                try:
                    with faults_are_typed():
                        # The operating system releases the lock when the process ends, even if it is killed.
                        fcntl.flock(lock, fcntl.LOCK_SH)
                        is_swept = os.fstat(lock.fileno()).st_nlink == 0
                    # A sweep may come between the making of the file and its lock.
                    if not is_swept:
                        yield path
                        return
                finally:
                    with suppress(OSError):
                        path.unlink(missing_ok=True)

    def read(self, key: str) -> bytes:
        """The whole object; raises `source_missing`."""
        with self._asking():
            data: bytes = self._client.get_object(Bucket=self._bucket, Key=self._name(key))["Body"].read()
            return data

    def size(self, key: str) -> int | None:
        """The size of the object in bytes; None if it does not exist."""
        try:
            with self._asking():
                return int(
                    self._client.head_object(Bucket=self._bucket, Key=self._name(key))["ContentLength"]
                )
        except SentilocError as error:
            if error.code is ErrorCode.SOURCE_MISSING:
                return None
            raise

    def adopt(self, path: Path, key: str) -> None:
        """Upload the file, then delete it here."""
        with faults_are_typed():
            path.stat()
            with self._asking():
                # Large files go in parts; the object appears when the last part is complete.
                self._client.upload_file(str(path), self._bucket, self._name(key))
            path.unlink()

    def delete(self, key: str) -> None:
        """Delete the object if it exists."""
        with self._asking():
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def move(self, key: str, target: str) -> bool:
        """Copy the object inside the store, then delete the original; False if it does not exist."""
        if not self.copy(key, target):
            return False
        self.delete(key)
        return True

    def copy(self, key: str, target: str) -> bool:
        """Copy the object inside the store; False if it does not exist."""
        source = {"Bucket": self._bucket, "Key": self._name(key)}
        try:
            with self._asking():
                self._client.copy(source, self._bucket, self._name(target))
        except SentilocError as error:
            if error.code is ErrorCode.SOURCE_MISSING:
                return False
            raise
        return True

    def link(self, key: str) -> str | None:
        """A URL of the object that is valid for 15 minutes."""
        target = {"Bucket": self._bucket, "Key": self._name(key)}
        return str(self._signer.generate_presigned_url("get_object", target, ExpiresIn=_LINK_SECONDS))

    def presign(self, key: str, max_bytes: int, seconds: int) -> Presigned | None:
        """A form with which a client can send the object. The store refuses more than `max_bytes`, and empty files."""
        form = self._signer.generate_presigned_post(
            self._bucket,
            self._name(key),
            # The store enforces the limit, because the API does not see the bytes.
            Conditions=[["content-length-range", 1, max_bytes]],
            ExpiresIn=seconds,
        )
        return Presigned(url=form["url"], fields=form["fields"])

    def older_than(self, folder: str, seconds: float) -> Iterator[str]:
        """Yield the keys of objects whose last write is more than `seconds` ago."""
        limit = datetime.now(UTC) - timedelta(seconds=seconds)
        with self._asking():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/"):
                for item in page.get("Contents", ()):
                    # The store's clock; the limit is an hour, so a small difference does not matter.
                    if item["LastModified"] < limit:
                        yield item["Key"].removeprefix(self._prefix)

    def sweep(self, older_than_seconds: float) -> int:
        """Delete the files that crashed processes left in the local folder; returns their number."""
        failures = Failures()
        count = 0
        with failures.kept():
            count += self._staged.sweep(older_than_seconds)
        left = [
            self._staging / key
            for name in ("uploads", "results")
            for key in self._staged.older_than(name, older_than_seconds)
        ]
        count += delete_all(left, failures) + self._delete_copies(failures)
        failures.raise_first()
        return count

    def _delete_copies(self, failures: Failures) -> int:
        """Delete the copies of processes that were killed, and their lock files; returns the number of copies."""
        found = (self._staging / "copies").glob("*")
        # Only our own files: a user may keep others in a folder of this name.
        own = [path for path in found if _OWN_COPY.fullmatch(path.name) and path.is_file()]
        count = 0
        for lock in sorted({_lock_of(path) for path in own}):
            with _taken(lock) as is_free:
                if is_free:
                    copies = [path for path in own if path != lock and _lock_of(path) == lock]
                    count += delete_all(copies, failures)
                    delete_all([lock], failures)
        return count

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """A request to the store: its errors are typed, and fail at once while the store does not answer."""
        began = self._breaker.enter()
        try:
            with errors_are_typed():
                yield
        except SentilocError as error:
            if isinstance(error.__cause__, ClientError):
                self._breaker.answered()
            else:
                self._breaker.failed(began)
            raise
        self._breaker.answered()

    def _name(self, key: str) -> str:
        check_key(key)
        return f"{self._prefix}{key}"


def _lock_of(path: Path) -> Path:
    """The lock file of a copy; of a lock file, itself."""
    return path.with_name(path.name.partition(".")[0])


@contextmanager
def _taken(lock: Path) -> Iterator[bool]:
    """Take a lock file while the context lasts; False if a process holds it, or if it cannot be opened."""
    with ExitStack() as stack:
        try:
            # For writing: file systems of a network lock exclusively only what may be written.
            file = stack.enter_context(lock.open("r+b"))
            # An exclusive lock fails while the owner holds its shared one.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free = True
        except FileNotFoundError:
            is_free = True
        except OSError:
            is_free = False
        yield is_free


class S3Writer:
    """Writes a local file, then uploads it."""

    def __init__(self, storage: S3Storage, inner: LocalWriter, path: Path, key: str) -> None:
        self._storage = storage
        self._inner = inner
        self._path = path
        self._key = key

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.__exit__(kind, error, trace)

    def write(self, data: bytes) -> None:
        """Append; raises `storage_full`."""
        self._inner.write(data)

    def commit(self) -> None:
        """Upload the file; raises `storage_unavailable`."""
        self._inner.commit()
        try:
            self._storage.adopt(self._path, self._key)
        finally:
            # After a failed upload, too: the caller keeps the data and tries again. What stays is swept later.
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
