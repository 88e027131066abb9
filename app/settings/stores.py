"""Where videos, results and job records are stored, and for how long."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings


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

    @property
    def features_dir(self) -> Path:
        """The folder of the worker's feature cache."""
        return self.data_dir / "features"
