"""Limits of connections, requests, uploads and batches."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class RequestSettings(BaseSettings):
    """Limits of connections, requests, uploads and batches."""

    max_connections: int = Field(
        512, gt=0, description="Maximum open connections per API process; further ones get a 503"
    )
    max_connections_per_address: int = Field(
        256,
        gt=0,
        description="Maximum open connections of one address per API process; trusted proxies have no such limit",
    )
    max_requests_per_key: int = Field(
        128, gt=0, description="Maximum concurrent requests of one API key per API process"
    )
    max_running_requests_per_key: int = Field(
        16,
        gt=0,
        description="Requests of one API key that run at a time per API process; its others wait. Uploads, videos, "
        "event streams and polls of a job do not count; those by its shared links count on their own",
    )
    max_lists_per_key: int = Field(
        2,
        gt=0,
        description="Lists, summaries and exports of one API key that run at a time per API process; its others wait",
    )
    slow_read_seconds: float = Field(
        20.0, gt=0, description="Interval between checks that a client reads its answer"
    )
    slow_read_bytes_per_second: int = Field(
        1000,
        ge=0,
        description="Minimum speed at which a client reads an answer; a slower one is disconnected",
    )
    header_seconds: float = Field(10.0, gt=0, description="Time limit for the header of a request")
    slow_body_seconds: float = Field(60.0, gt=0, description="Interval between checks of the speed of a body")
    slow_body_bytes_per_second: int = Field(
        1000, ge=0, description="Minimum speed of a body; a slower client is disconnected"
    )
    max_event_streams: int = Field(200, gt=0, description="Maximum concurrent event streams per API process")
    max_event_streams_per_key: int = Field(
        50, gt=0, description="Maximum concurrent event streams of one API key per API process"
    )
    max_combining_requests: int = Field(
        1, gt=0, description="Highlights, cuts and reels that one API process prepares at a time; others wait"
    )
    max_combining_requests_per_key: int = Field(
        4,
        gt=0,
        description="Requests for highlights, cuts and reels that one API key may have per API process",
    )
    idempotency_seconds: int = Field(86_400, gt=0, description="How long an Idempotency-Key is remembered")
    max_upload_bytes: int = Field(
        2 * 1024**3, gt=0, description="Maximum size of a video that is uploaded or fetched"
    )
    upload_expiry_seconds: float = Field(
        86_400, gt=0, description="A resumable upload without new data for this long is removed"
    )
    upload_idle_seconds: float = Field(
        30.0, gt=0, description="An upload without data for this long is aborted"
    )
    upload_reserve_bytes: int = Field(
        64 << 20,
        ge=0,
        description="Disk space that uploads keep free for Redis's log and for results",
    )
    max_open_uploads: int = Field(
        10_000, gt=0, description="Maximum open resumable uploads; further ones get a 503"
    )
    max_open_uploads_per_key: int = Field(
        1000, gt=0, description="Maximum open resumable uploads of one API key; further ones get a 429"
    )
    max_kept_jobs_per_key: int = Field(
        100_000,
        ge=0,
        description="Maximum number of jobs of one API key, ended ones included, because Redis holds their records; "
        "further ones get a 429; 0: any number",
    )
    max_stored_bytes_per_key: int = Field(
        500 * 1024**3,
        ge=0,
        description="Maximum bytes of the videos, results and reels that the server keeps for one API key; "
        "further ones get a 429; 0: any number",
    )
    max_feedback_bytes_per_key: int = Field(
        256 << 20,
        ge=0,
        description="Maximum bytes of the corrections of one API key's jobs, because Redis holds them; "
        "further ones get a 409; 0: any number",
    )
    max_queued_per_key: int = Field(
        2000, gt=0, description="Maximum queued jobs of one API key; further ones get a 429"
    )
    max_batch_items: int = Field(1000, ge=1, le=10_000, description="Maximum number of videos in one batch")
    max_batch_bytes: int = Field(8 << 20, gt=0, description="Maximum size of the body of `POST /v1/batches`")
