"""The settings of the service, read from environment variables `SENTILOC_*`. API, worker and CLI share them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from sentiloc.app.places import parse_prefix
from sentiloc.app.sign_in_settings import LOOPBACK_NAMES, SignInSettings
from sentiloc.app.signing import check_webhook_secret

ROOT_PATH = r"(/[A-Za-z0-9._~-]*[A-Za-z0-9_~-][A-Za-z0-9._~-]*){0,8}"
"""A path under which a proxy serves this service: empty, or segments that do not consist of dots alone."""


class Settings(SignInSettings):
    """Addresses, paths and limits. Sizes are bytes and times are seconds, unless a name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="SENTILOC_", env_ignore_empty=True, frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    health_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="A second port that answers only `/healthz`, however busy the first one is; default: none",
    )
    data_dir: Path = Path("sentiloc-data")
    storage_url: str | None = Field(
        None, description="Where videos and results are stored: s3://bucket/prefix; default: the data folder"
    )
    storage_endpoint: str | None = Field(None, description="URL of an S3-compatible server; default: AWS")
    storage_public_endpoint: str | None = Field(
        None,
        description="The URL at which clients reach that server, for presigned links; default: storage_endpoint",
    )
    storage_region: str = "us-east-1"
    redis_url: str | None = Field(
        None,
        description="redis://, rediss:// or unix://, or redis+sentinel://host:port,host:port/PRIMARY; default: "
        "`sentiloc serve` starts a private store",
    )
    redis_wait_replicas: int = Field(
        0,
        ge=0,
        description="Replicas that must hold a new job before it is accepted; 1 or more, so that a lost primary "
        "loses no job",
    )
    redis_prefix: str = Field(
        "sentiloc:", description="Prefix of every Redis key, so that services can share a Redis"
    )
    models_dir: Path | None = Field(
        None, description="Folder of model packages; default: the shipped packages"
    )
    model: str = Field("fsenet-starter", description="Model package of jobs that do not name one")
    device: Literal["cpu", "openvino", "cuda", "tensorrt"] = "cpu"
    precision: Literal["float32", "bfloat16", "float16", "int8"] = Field(
        "float32",
        description="Precision of the visual network: bfloat16 or int8 on openvino, float16 on tensorrt",
    )
    gpu_memory_bytes: int | None = Field(None, gt=0, description="Maximum GPU memory of the visual network")
    threads: int | None = Field(
        None, ge=1, description="Inference threads; default: the number of CPUs that the process may use"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    audit_log: Path | None = Field(
        None,
        description="File for the audit log, JSON lines that say who did what and when, without content; default: none",
    )
    tracing: bool = Field(False, description="Send OpenTelemetry traces; the variables OTEL_… say where")

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
        "auto",
        description="Whether requests need an API key; auto: unless the server listens on a loopback address",
    )
    key_rate_per_minute: int = Field(
        1200, ge=1, description="Default rate limit of keys made with `sentiloc keys create`"
    )
    bad_keys_per_minute: int = Field(
        20, ge=1, description="Failed logins per minute that one address may have"
    )
    trusted_proxies: list[str] = Field(
        [],
        description=(
            "Addresses of proxies whose X-Forwarded-For and X-Forwarded-Prefix are trusted, as a JSON list; "
            "default: none"
        ),
    )
    root_path: str = Field(
        "",
        max_length=200,
        pattern=f"^{ROOT_PATH}$",
        description="Path under which a proxy serves this service, such as /sentiloc; X-Forwarded-Prefix overrides it",
    )
    allowed_hosts: list[str] | None = Field(
        None,
        description=(
            'Names by which this service may be called, as a JSON list, or ["*"]; default: the loopback names if no '
            "keys are needed, else every name"
        ),
    )
    cors_origins: list[str] = Field(
        [],
        description="Web origins that may use the API from a browser, as a JSON list; default: only its own page",
    )
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
    idempotency_seconds: int = Field(86_400, gt=0, description="How long an Idempotency-Key is remembered")
    outbound_allow: list[str] = Field(
        [], description="Private networks (CIDR) that user-supplied URLs may lead to, as a JSON list"
    )
    s3_sources: list[str] = Field(
        [],
        description=(
            "Places `s3://bucket/prefix` whose videos requests without an API key may name, as a JSON list; a key has "
            "its own"
        ),
    )
    fetch_seconds: float = Field(1800.0, gt=0, description="Time limit for fetching a video from its URL")
    max_batch_items: int = Field(1000, ge=1, le=10_000, description="Maximum number of videos in one batch")
    max_batch_bytes: int = Field(8 << 20, gt=0, description="Maximum size of the body of `POST /batches`")
    upload_expiry_seconds: float = Field(
        86_400, gt=0, description="A resumable upload without new data for this long is removed"
    )
    max_open_uploads: int = Field(
        10_000, gt=0, description="Maximum open resumable uploads; further ones get a 503"
    )
    max_open_uploads_per_key: int = Field(
        1000, gt=0, description="Maximum open resumable uploads of one API key; further ones get a 429"
    )
    max_queued_per_key: int = Field(
        2000, gt=0, description="Maximum queued jobs of one API key; further ones get a 429"
    )
    upload_reserve_bytes: int = Field(
        64 << 20,
        ge=0,
        description="Disk space that uploads keep free for the job store's log and for results",
    )
    upload_idle_seconds: float = Field(
        30.0, gt=0, description="An upload without data for this long is aborted"
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

    max_highlight_videos: int = Field(
        200, ge=1, description="Maximum number of videos in one request for highlights"
    )
    max_reel_clips: int = Field(100, ge=1, le=500, description="Maximum number of clips in one reel")
    max_reel_seconds: float = Field(1800.0, gt=0, description="Maximum length of a reel")
    reel_side_pixels: int = Field(
        1920, ge=64, le=3840, description="Maximum length of the longer side of a reel's picture"
    )
    reel_quality: int = Field(
        20, ge=0, le=51, description="Constant rate factor of reels: lower is better and larger"
    )

    embed_ancestors: list[Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.*:-]+$")]] = Field(
        [],
        description="Sites that may frame the player of a shared link, as a JSON list; default: this server",
    )

    max_orphans: int = Field(
        100,
        ge=0,
        description="If most files have no job, a sweep deletes at most this many; with more it deletes nothing",
    )

    thumbnail_side_pixels: int = Field(
        320, ge=0, le=2048, description="Longer side of thumbnails; 0: none are made"
    )
    thumbnail_quality: int = Field(80, ge=1, le=100, description="JPEG quality of thumbnails")
    max_thumbnails: int = Field(100, ge=0, description="Maximum number of thumbnails per job")
    thumbnail_seconds: float = Field(20.0, gt=0, description="Time limit for the thumbnails of a job")

    webhook_secret: SecretStr | None = Field(
        None,
        description="`whsec_…`; signs webhooks of jobs that have neither their own secret nor an API key",
    )
    webhook_senders: int = Field(8, ge=0, description="Threads that send webhooks, per API process")
    webhook_senders_per_host: int = Field(
        2, ge=1, description="Concurrent deliveries to one host, per API process"
    )
    webhook_timeout_seconds: float = Field(10.0, gt=0)
    webhook_max_attempts: int = Field(
        15,
        ge=1,
        description="Delivery attempts before an event is given up; by default this takes about a day",
    )
    webhook_backoff_seconds: float = Field(
        10.0, gt=0, description="Wait after the first failed delivery; doubled each time"
    )
    webhook_backoff_max_seconds: float = Field(6 * 3600, gt=0)

    lease_seconds: float = Field(30.0, gt=0)
    stall_seconds: float = Field(
        25.0,
        gt=0,
        description="A job or worker process that does not respond for this long is killed; the job is retried",
    )
    stall_busy_seconds: float = Field(
        40.0,
        gt=0,
        description="A job that makes no progress for this long and uses `stall_cpu_seconds` is killed and retried",
    )
    stall_cpu_seconds: float = Field(
        6.0,
        gt=0,
        description="Processor time that a job without progress must have used before it is killed as hung",
    )
    model_load_seconds: float = Field(
        900.0, gt=0, description="A job that waits longer for its model to load is killed and retried"
    )
    max_attempts: int = Field(
        3, ge=1, description="Number of workers that a job may crash before it fails as poison"
    )
    fault_pause_seconds: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="Pause of a job after a temporary fault (storage, model); doubled each time",
    )
    fault_pause_max_seconds: float = Field(120.0, gt=0, le=3600, description="Longest such pause")
    save_patience_seconds: float = Field(
        900.0, ge=0, description="How long a worker holds a computed result while the storage cannot take it"
    )
    fault_patience_seconds: float = Field(
        86_400, gt=0, description="How long such faults may last before the job fails"
    )
    reaper_interval_seconds: float = Field(5.0, gt=0)
    resend_seconds: float = Field(30.0, gt=0, description="When the message of a queued job is sent again")

    worker_concurrency: int = Field(
        1, ge=1, description="Concurrent jobs of one worker; each one loads the model"
    )
    worker_niceness: int = Field(
        5,
        ge=0,
        le=19,
        description="Niceness of the worker that `sentiloc serve` starts, so that the API stays responsive",
    )
    worker_max_jobs: int = Field(200, ge=1, description="Jobs after which a worker process is replaced")
    worker_max_memory_bytes: int = Field(
        6 * 1024**3,
        gt=0,
        description="Memory beyond which a worker process is replaced, checked after each job",
    )
    feature_cache_bytes: int = Field(
        2 * 1024**3,
        ge=0,
        description="Disk space for features of earlier videos, which makes repeated videos fast; 0: off",
    )
    feature_cache_seconds: float = Field(
        86_400, gt=0, description="Cached features unused for this long are removed"
    )
    share_features: bool = Field(
        False,
        description=(
            "Whether API keys trust each other: a video that one key has sent is then fast for others, too, which "
            "tells them that it was sent before"
        ),
    )
    job_time_limit_seconds: int = Field(8 * 3600, gt=0)
    visibility_timeout_seconds: int = Field(
        3600, gt=0, description="When the broker redelivers an unacknowledged message"
    )
    shutdown_grace_seconds: float = Field(
        5.0,
        ge=0,
        description="Time that a stopping worker has to finish its job before it puts it back into the queue",
    )

    @property
    def features_dir(self) -> Path:
        """The folder of the worker's feature cache."""
        return self.data_dir / "features"

    @property
    def host_names(self) -> frozenset[str] | None:
        """Names that a `Host` header may hold; None for every name."""
        if self.allowed_hosts is not None:
            return (
                None if "*" in self.allowed_hosts else frozenset(name.lower() for name in self.allowed_hosts)
            )
        if self.keys_required or not _is_loopback(self.host):
            return None
        return frozenset({*LOOPBACK_NAMES, self.host.strip("[]").lower()})

    @property
    def keys_required(self) -> bool:
        """True if requests need an API key."""
        return self.api_keys == "on" or (self.api_keys == "auto" and not _is_loopback(self.host))

    @field_validator("webhook_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_webhook_secret(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse settings that contradict each other."""
        orders = (
            ("webhook_backoff_seconds", "webhook_backoff_max_seconds"),
            ("fault_pause_seconds", "fault_pause_max_seconds"),
            ("upload_idle_seconds", "upload_expiry_seconds"),
            ("thumbnail_seconds", "job_time_limit_seconds"),
            ("fetch_seconds", "job_time_limit_seconds"),
            ("shutdown_grace_seconds", "job_time_limit_seconds"),
            # One thread uses at most a second of processor time a second.
            ("stall_cpu_seconds", "stall_busy_seconds"),
            ("stall_seconds", "stall_busy_seconds"),
            ("stall_busy_seconds", "job_time_limit_seconds"),
            ("model_load_seconds", "job_time_limit_seconds"),
        )
        for smaller, larger in orders:
            if getattr(self, smaller) > getattr(self, larger):
                raise ValueError(f"{smaller} must not be greater than {larger}")
        if self.oidc_issuer is not None and not self.keys_required:
            raise ValueError("oidc_issuer needs a server that asks for keys: set SENTILOC_API_KEYS=on")
        return self

    @field_validator("s3_sources")
    @classmethod
    def _places(cls, value: list[str]) -> list[str]:
        for place in value:
            parse_prefix(place)
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
    """The settings of the process, read once."""
    return Settings()
