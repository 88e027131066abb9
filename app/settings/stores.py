"""Where videos, results and job records are stored, and for how long."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from sentiloc.app.places import parse_prefix

_SINGLE_SERVERS = ("redis", "rediss")
_REDIS_SCHEMES = (*_SINGLE_SERVERS, "unix", "redis+sentinel", "rediss+sentinel")


class StoreSettings(BaseSettings):
    """Where videos, results and job records are stored, and for how long."""

    data_dir: Path = Field(
        Path("sentiloc-data"),
        description="Folder of videos, results, unfinished uploads and cached features; `sentiloc serve` keeps its "
        "Redis there, too",
    )
    storage_url: str | None = Field(
        None, description="Where videos and results are stored: s3://bucket/prefix; default: the data folder"
    )
    storage_endpoint: str | None = Field(None, description="URL of an S3-compatible server; default: AWS")
    storage_public_endpoint: str | None = Field(
        None,
        description="The URL at which clients reach that server, for presigned links; default: "
        "SENTILOC_STORAGE_ENDPOINT",
    )
    storage_region: str = Field("us-east-1", description="Region of the bucket")
    redis_url: str | None = Field(
        None,
        description="Address of Redis: redis://, rediss:// or unix://, or redis+sentinel://host:port,host:port/PRIMARY"
        "; default: `sentiloc serve` starts a private one",
    )
    redis_wait_replicas: int = Field(
        0,
        ge=0,
        description="Number of replicas that must hold a new job before it is accepted; from 1 on, no job is lost "
        "with the primary",
    )
    redis_timeout_seconds: float = Field(
        5.0, gt=0, description="How long Redis may take to answer a command before a request fails with 503"
    )
    storage_timeout_seconds: float = Field(
        15.0,
        gt=0,
        description="How long the object store may be silent; a request to it is repeated once, then fails with 503",
    )
    redis_prefix: str = Field(
        "sentiloc:", description="Prefix of every Redis key, so that services can share a Redis"
    )
    keep_uploads_seconds: float = Field(
        7 * 86_400, ge=0, description="Time from a job's end to the deletion of its video; 0: never"
    )
    keep_results_seconds: float = Field(
        30 * 86_400, ge=0, description="Time from a job's end to the deletion of its result; 0: never"
    )
    keep_records_seconds: float = Field(
        90 * 86_400, ge=0, description="Time from a job's end to the deletion of its record; 0: never"
    )
    max_orphans: int = Field(
        100,
        ge=0,
        description="If more than this many files, and most of all files, belong to no job, a sweep deletes nothing",
    )

    @field_validator("data_dir")
    @classmethod
    def _is_folder(cls, value: Path) -> Path:
        try:
            place = value.expanduser()
            # It need not exist yet.
            is_folder = place.is_dir() or not place.exists()
        except RuntimeError:
            raise ValueError("must not begin with the home folder of an unknown user") from None
        except OSError:
            # This user may not look into it. A command that only needs Redis need not, either.
            return value
        if not is_folder:
            raise ValueError("must be a folder")
        return value

    @field_validator("storage_url")
    @classmethod
    def _is_place(cls, value: str | None) -> str | None:
        if value is not None:
            parse_prefix(value)
        return value

    @field_validator("storage_endpoint", "storage_public_endpoint")
    @classmethod
    def _is_endpoint(cls, value: str | None) -> str | None:
        if value is not None and not _is_url(value):
            raise ValueError("must be a URL, such as https://s3.example.org")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str | None) -> str | None:
        if value is not None:
            _check_redis_url(value)
        return value

    @property
    def features_dir(self) -> Path:
        """The folder of the worker's feature cache."""
        return self.data_dir / "features"

    @property
    def reels_dir(self) -> Path:
        """The folder in which the worker renders reels."""
        return self.data_dir / "reels"


def _is_url(text: str) -> bool:
    """Whether the client of the object store can use a text as the address of a server."""
    if not re.fullmatch(r"https?://[^/?#\s][^?#\s]*", text):
        return False
    try:
        return urlsplit(text).port != 0
    except ValueError:
        return False


def _check_redis_url(url: str) -> None:
    """Raise `ValueError` for a URL that Redis clients misread. Its words show nothing of it: it may hold a password."""
    scheme, _, rest = url.partition("://")
    if scheme not in _REDIS_SCHEMES or not rest:
        raise ValueError(f"must begin with {', '.join(f'{one}://' for one in _REDIS_SCHEMES)}")
    path = rest.partition("?")[0].partition("/")[2]
    if scheme == "unix":
        return
    if "@" in path or "#" in rest:
        raise ValueError("must have %2F for /, %3F for ? and %23 for # in a password")
    if scheme not in _SINGLE_SERVERS:
        return
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("must be redis://host:port/database, with %2F for / and so on in a password")
    # The client would take database 0.
    if path and not path.isdecimal():
        raise ValueError("must have a number as its database")
