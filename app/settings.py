"""Every setting of the service, read from the environment (`SENTILOC_*`), shared by API, worker and CLI."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sentiloc.app.signing import check_webhook_secret


class Settings(BaseSettings):
    """Limits and places. Sizes in bytes, times in seconds, unless a name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="SENTILOC_", env_ignore_empty=True, frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    data_dir: Path = Path("sentiloc-data")
    storage_url: str | None = Field(
        None, description="s3://bucket/prefix for videos and results; default: the data folder"
    )
    storage_endpoint: str | None = Field(None, description="URL of an S3-compatible server; default: AWS")
    storage_public_endpoint: str | None = Field(
        None, description="The same server as clients reach it, for presigned links; default: as above"
    )
    storage_region: str = "us-east-1"
    redis_url: str | None = Field(
        None, description="redis://, rediss:// or unix://; default: a private Redis"
    )
    redis_prefix: str = Field("sentiloc:", description="Starts every key, so that a Redis can be shared")
    models_dir: Path | None = Field(None, description="Folder of model packages; default: the shipped ones")
    model: str = Field("fsenet-starter", description="Package used when a job names none")
    device: Literal["cpu", "openvino", "cuda", "tensorrt"] = "cpu"
    precision: Literal["float32", "bfloat16", "float16", "int8"] = Field(
        "float32", description="Of the visual network: bfloat16 or int8 on openvino, float16 on tensorrt"
    )
    gpu_memory_bytes: int | None = Field(
        None, gt=0, description="Most that the visual network takes of a GPU"
    )
    threads: int | None = Field(None, ge=1, description="Inference threads; default: the CPU quota")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    tracing: bool = Field(False, description="Send OpenTelemetry traces, as the OTEL_… variables say")

    max_upload_bytes: int = Field(2 * 1024**3, gt=0)
    max_duration_seconds: float = Field(4 * 3600, gt=0)
    max_side_pixels: int = Field(8192, gt=0)
    max_frame_pixels: int = Field(50_000_000, gt=0)
    max_frames: int = Field(1_000_000, gt=0)
    max_frame_rate: float = Field(240.0, gt=0)
    max_streams: int = Field(32, gt=0)
    decoder_memory_bytes: int = Field(2 * 1024**3, gt=0)
    decoder_cpu_seconds: int = Field(4 * 3600, gt=0)
    decoder_wall_seconds: float = Field(6 * 3600, gt=0)

    api_keys: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether requests need an API key; auto: on every address but this machine's own"
    )
    key_rate_per_minute: int = Field(1200, ge=1, description="What `sentiloc keys create` gives by default")
    bad_keys_per_minute: int = Field(20, ge=1, description="Wrong keys that an address may try")
    trusted_proxies: list[str] = Field(
        ["127.0.0.1", "::1"], description="Whose X-Forwarded-For is believed, as a JSON list"
    )
    cors_origins: list[str] = Field(
        [], description="Web origins whose pages may use the API, as a JSON list; default: only its own page"
    )
    max_connections: int = Field(512, gt=0, description="Open connections per API process; more get a 503")
    header_seconds: float = Field(10.0, gt=0, description="A request's header must be complete by then")
    slow_body_seconds: float = Field(60.0, gt=0, description="How often a body's pace is looked at")
    slow_body_bytes_per_second: int = Field(1000, ge=0, description="A body that comes slower is cut off")
    max_event_streams: int = Field(200, gt=0, description="Clients that listen to events, per API process")
    idempotency_seconds: int = Field(86_400, gt=0, description="How long an Idempotency-Key is remembered")
    outbound_allow: list[str] = Field(
        [], description="Networks (CIDR, as a JSON list) that URLs may lead to although they are not public"
    )
    fetch_seconds: float = Field(1800.0, gt=0, description="A video must be fetched from its URL by then")
    upload_expiry_seconds: float = Field(
        86_400, gt=0, description="A resumable upload that rests for so long is removed"
    )
    max_open_uploads: int = Field(1000, gt=0, description="Resumable uploads under way; more get a 503")
    upload_idle_seconds: float = Field(
        30.0, gt=0, description="An upload that sends nothing for so long ends"
    )

    keep_uploads_seconds: float = Field(
        7 * 86_400, ge=0, description="Videos are deleted so long after their job's end; 0: never"
    )
    keep_results_seconds: float = Field(30 * 86_400, ge=0, description="Likewise results and thumbnails")
    keep_records_seconds: float = Field(90 * 86_400, ge=0, description="Likewise all that is left of the job")

    thumbnail_side_pixels: int = Field(320, ge=0, le=2048, description="Longer side; 0: make none")
    thumbnail_quality: int = Field(80, ge=1, le=100, description="Of the JPEG")
    max_thumbnails: int = Field(100, ge=0, description="Segments of a job that get a picture")
    thumbnail_seconds: float = Field(20.0, gt=0, description="What a job's pictures may take")

    webhook_secret: SecretStr | None = Field(
        None,
        description="`whsec_…`; signs webhooks of jobs that have neither their own secret nor an API key",
    )
    webhook_senders: int = Field(8, ge=0, description="Threads that send webhooks, per API process")
    webhook_timeout_seconds: float = Field(10.0, gt=0)
    webhook_max_attempts: int = Field(15, ge=1, description="Then the event is given up: after about a day")
    webhook_backoff_seconds: float = Field(10.0, gt=0, description="After the first try; doubled each time")
    webhook_backoff_max_seconds: float = Field(6 * 3600, gt=0)

    lease_seconds: float = Field(30.0, gt=0)
    max_attempts: int = Field(3, ge=1, description="Workers that a job may kill before it fails as poison")
    reaper_interval_seconds: float = Field(5.0, gt=0)
    resend_seconds: float = Field(
        30.0, gt=0, description="A queued job that no worker took is announced again"
    )

    worker_concurrency: int = Field(1, ge=1, description="Jobs at a time in one worker; each loads the model")
    worker_niceness: int = Field(
        5,
        ge=0,
        le=19,
        description="Of the worker that `serve` starts: the API on the same machine goes first",
    )
    worker_max_jobs: int = Field(200, ge=1, description="Jobs after which a worker's child is replaced")
    worker_max_memory_bytes: int = Field(6 * 1024**3, gt=0, description="Likewise, checked after each job")
    feature_cache_bytes: int = Field(
        2 * 1024**3,
        ge=0,
        description="Disk for features of videos seen before, so that they are quick; 0: off",
    )
    feature_cache_seconds: float = Field(86_400, gt=0, description="Features unused for so long are removed")
    job_time_limit_seconds: int = Field(8 * 3600, gt=0)
    visibility_timeout_seconds: int = Field(3600, gt=0, description="When Redis redelivers an unread message")
    shutdown_grace_seconds: float = Field(5.0, ge=0, description="Then a stopping worker gives its job back")

    @property
    def features_dir(self) -> Path:
        """Where a worker keeps what it learned of videos that it has seen."""
        return self.data_dir / "features"

    @property
    def keys_required(self) -> bool:
        """True when requests need an API key."""
        return self.api_keys == "on" or (self.api_keys == "auto" and not _is_loopback(self.host))

    @field_validator("webhook_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_webhook_secret(value.get_secret_value())
        return value

    @field_validator("outbound_allow")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return [str(ip_network(network, strict=False)) for network in value]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@lru_cache
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
