"""`GET /limits` and `GET /models`: what this server takes and what it can run."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sentiloc.app.http.multipart import MAX_OPTIONS_BYTES
from sentiloc.app.jobs.options import MAX_METADATA_BYTES
from sentiloc.app.services import ServicesDep
from sentiloc.app.settings import Settings
from sentiloc.app.uploads import tus
from sentiloc.model.errors import SentilocError
from sentiloc.model.package import list_packages, shipped_models_dir
from sentiloc.model.spec import ModelSpec, load_spec

logger = logging.getLogger(__name__)
router = APIRouter(tags=["operation"])

CONTAINERS = ["mp4", "mov", "webm", "mkv", "avi", "ts"]
_STREAMS = ("visual", "audio", "face", "flow")
_LIMITS: dict[str, Any] = {
    "max_upload_bytes": 2147483648,
    "max_duration_seconds": 14400.0,
    "max_side_pixels": 8192,
    "max_frame_pixels": 50000000,
    "max_frame_rate": 240.0,
    "max_options_bytes": 16384,
    "max_metadata_bytes": 4096,
    "max_event_streams": 200,
    "upload_idle_seconds": 30.0,
    "upload_expiry_seconds": 86400.0,
    "max_open_uploads": 1000,
    "fetch_seconds": 1800.0,
    "presigned_uploads": False,
    "tus_versions": [tus.VERSION],
    "tus_extensions": tus.EXTENSIONS.split(","),
    "idempotency_seconds": 86400,
    "keep_uploads_seconds": 604800.0,
    "keep_results_seconds": 2592000.0,
    "keep_records_seconds": 7776000.0,
    "containers": CONTAINERS,
}
_MODEL: dict[str, Any] = {
    "name": "fsenet-starter",
    "version": "1.0.0",
    "is_default": True,
    "task": "sentiment",
    "streams": list(_STREAMS[:3]),
    "classes": ["negative", "positive"],
    "confidence_threshold": 0.5,
    "snippet_seconds": 0.64,
    "spec_hash": "9f2c4e81d07ab635",
}


class LimitsBody(BaseModel):
    """What this server takes; a video beyond it is refused or its job fails with `limit_exceeded`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LIMITS]})

    max_upload_bytes: int
    max_duration_seconds: float
    max_side_pixels: int
    max_frame_pixels: int = Field(description="Width times height")
    max_frame_rate: float = Field(description="Frames per second")
    max_options_bytes: int = Field(description="The form's field `options`")
    max_metadata_bytes: int
    max_event_streams: int = Field(description="Listeners to events at a time, per API process")
    upload_idle_seconds: float = Field(description="An upload that sends nothing for so long ends")
    upload_expiry_seconds: float = Field(description="A resumable upload that rests for so long is removed")
    max_open_uploads: int = Field(description="Resumable uploads under way, of all clients together")
    fetch_seconds: float = Field(description="A video must be fetched from its URL by then")
    presigned_uploads: bool = Field(description="Whether `POST /uploads/presign` gives forms")
    tus_versions: list[str] = Field(description="Of the protocol of `/uploads`")
    tus_extensions: list[str]
    idempotency_seconds: int = Field(description="How long an Idempotency-Key is remembered")
    keep_uploads_seconds: float = Field(description="From a job's end to its video's; 0: kept")
    keep_results_seconds: float = Field(description="From a job's end to its result's; 0: kept")
    keep_records_seconds: float = Field(description="From a job's end to its record's; 0: kept")
    containers: list[str]


class InstalledModel(BaseModel):
    """A model that a job can ask for by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MODEL]})

    name: str
    version: str
    is_default: bool = Field(description="Used by jobs that name none")
    task: str = Field(description="What it finds: `sentiment`, `emotion` or `expression`")
    streams: list[str] = Field(description="What it looks at")
    classes: list[str]
    confidence_threshold: float
    snippet_seconds: float = Field(description="Seconds per value of the curve")
    spec_hash: str


@router.get("/limits", summary="What the server takes")
def limits(services: ServicesDep) -> LimitsBody:
    """The settings that a client can run into."""
    fixed = {
        "max_options_bytes": MAX_OPTIONS_BYTES,
        "max_metadata_bytes": MAX_METADATA_BYTES,
        "presigned_uploads": services.settings.storage_url is not None,
        "tus_versions": [tus.VERSION],
        "tus_extensions": tus.EXTENSIONS.split(","),
    }
    known = services.settings.model_dump(include=set(LimitsBody.model_fields))
    return LimitsBody(**{**known, **fixed}, containers=CONTAINERS)


@router.get(
    "/models",
    summary="List the models",
    responses={200: {"content": {"application/json": {"example": [_MODEL]}}}},
)
def models(services: ServicesDep) -> list[InstalledModel]:
    """The packages installed at the API, by name."""
    settings = services.settings
    root = settings.models_dir or shipped_models_dir()
    found = []
    for name in list_packages(root):
        try:
            found.append(_installed(name, load_spec(root / name / "spec.json"), settings))
        except SentilocError as error:
            logger.error("model package %s is left out: %s", name, error.detail)
    return found


def _installed(name: str, spec: ModelSpec, settings: Settings) -> InstalledModel:
    return InstalledModel(
        name=name,
        version=spec.version,
        is_default=name == settings.model,
        task=spec.task,
        streams=[stream for stream in _STREAMS if getattr(spec, stream) is not None],
        classes=list(spec.classes),
        confidence_threshold=spec.confidence_threshold,
        snippet_seconds=spec.snippet_seconds,
        spec_hash=spec.spec_hash,
    )
