"""What the server says about itself: limits, models, formats, readiness; names as in `/openapi.json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The server's limits."""

    max_upload_bytes: int
    max_duration_seconds: float
    max_side_pixels: int
    max_frame_pixels: int
    max_frame_rate: float
    max_options_bytes: int
    max_metadata_bytes: int
    max_event_streams: int
    upload_idle_seconds: float
    idempotency_seconds: int
    containers: tuple[str, ...]
    keep_uploads_seconds: float
    keep_results_seconds: float
    keep_records_seconds: float
    upload_expiry_seconds: float
    max_open_uploads: int
    max_batch_items: int
    max_batch_bytes: int
    fetch_seconds: float
    presigned_uploads: bool
    tus_versions: tuple[str, ...]
    tus_extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model that a job can name."""

    name: str
    version: str
    task: str
    is_default: bool
    streams: tuple[str, ...]
    classes: tuple[str, ...]
    confidence_threshold: float
    snippet_seconds: float
    spec_hash: str
    is_served: bool | None = None
    not_served_because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFormat:
    """A format that a result can be rendered in."""

    name: str
    title: str
    media_type: str
    extension: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker that reported recently; `device` is None while no model is loaded.

    `served` names the models that it can run; None if it does not say.
    """

    model: str
    model_version: str | None
    device: str | None
    error: str | None
    served: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether a video that is uploaded now will be localized, and why not."""

    ready: bool
    redis: bool
    workers: tuple[Worker, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """What does not work at this API process although the service may be ready; empty from older servers."""
