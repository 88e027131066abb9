"""`GET /limits` and `GET /models`: the limits of this server and its models."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from redis import RedisError

from sentiloc.app.http.multipart import MAX_OPTIONS_BYTES
from sentiloc.app.jobs.options import MAX_METADATA_BYTES
from sentiloc.app.jobs.presence import WorkerPresence, alive_workers, reasons_against
from sentiloc.app.services import BareServicesDep, Services
from sentiloc.app.settings import Settings
from sentiloc.app.uploads import tus
from sentiloc.model.errors import SentilocError
from sentiloc.model.package import list_packages, shipped_models_dir
from sentiloc.model.spec import ModelSpec, load_spec

logger = logging.getLogger(__name__)
router = APIRouter(tags=["service"])

# What the worker accepts, in the order of its message; a test compares them.
CONTAINERS = [
    *("mp4", "mov", "mkv", "webm", "avi", "ts", "mpg", "mxf", "wmv"),
    *("flv", "ogg", "dv", "ivf", "y4m", "gif", "png", "webp"),
]
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
    "max_batch_items": 1000,
    "max_batch_bytes": 8388608,
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
# Without a value that is null: FastAPI leaves such values out of examples, and this field is required.
_MODEL: dict[str, Any] = {
    "name": "fsenet-i3d",
    "version": "1.0.0",
    "is_default": False,
    "task": "sentiment",
    "streams": list(_STREAMS[:3]),
    "classes": ["negative", "positive"],
    "confidence_threshold": 0.5,
    "snippet_seconds": 0.64,
    "spec_hash": "9f2c4e81d07ab635",
    "is_served": False,
    "not_served_because": "no worker has the I3D weights; `sentiloc weights pull i3d-kinetics` fetches them",
}


class LimitsBody(BaseModel):
    """The limits of this server. A video beyond them is refused, or its job fails with `limit_exceeded`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LIMITS]})

    max_upload_bytes: int
    max_duration_seconds: float
    max_side_pixels: int
    max_frame_pixels: int = Field(description="Width times height")
    max_frame_rate: float = Field(description="Frames per second")
    max_options_bytes: int = Field(description="Maximum size of the form field `options`")
    max_metadata_bytes: int
    max_event_streams: int = Field(description="Concurrent event streams per API process")
    upload_idle_seconds: float = Field(description="An upload without data for this long is aborted")
    upload_expiry_seconds: float = Field(
        description="A resumable upload without new data for this long is removed"
    )
    max_open_uploads: int = Field(description="Open resumable uploads of all clients together")
    max_batch_items: int = Field(description="Videos in one batch")
    max_batch_bytes: int = Field(description="Size of the body of `POST /v1/batches`")
    fetch_seconds: float = Field(description="Time limit for fetching a video from its URL")
    presigned_uploads: bool = Field(description="Whether `POST /v1/uploads/presign` is available")
    tus_versions: list[str] = Field(description="Versions of the protocol tus at `/v1/uploads`")
    tus_extensions: list[str]
    idempotency_seconds: int = Field(description="How long an `Idempotency-Key` is remembered")
    keep_uploads_seconds: float = Field(
        description="Time from a job's end to the deletion of its video; 0: never"
    )
    keep_results_seconds: float = Field(
        description="Time from a job's end to the deletion of its result; 0: never"
    )
    keep_records_seconds: float = Field(
        description="Time from a job's end to the deletion of its record; 0: never"
    )
    containers: list[str] = Field(
        description="Containers that can be read, by a usual ending of their files; `gif`, `png` and `webp` if "
        "they are animated. A file is recognized by its content, whatever its name"
    )


class InstalledModel(BaseModel):
    """A model that a job can request by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MODEL]})

    name: str
    version: str
    is_default: bool = Field(description="Whether jobs without a model name use it")
    task: str = Field(description="`sentiment`, `emotion` or `expression`")
    streams: list[str] = Field(description="The input streams of the model")
    classes: list[str]
    confidence_threshold: float
    snippet_seconds: float = Field(description="Seconds per value of the curve")
    spec_hash: str
    is_served: bool | None = Field(
        description="Whether a live worker can run the model; null if no worker is alive. If false, jobs are refused"
    )
    not_served_because: str | None = Field(description="What the workers lack, and how to get it")


@router.get("/limits", summary="Get the server's limits", operation_id="getLimits")
def limits(services: BareServicesDep) -> LimitsBody:
    """The limits on what a client can send."""
    fixed = {
        "max_options_bytes": MAX_OPTIONS_BYTES,
        "max_metadata_bytes": MAX_METADATA_BYTES,
        "presigned_uploads": services.settings.storage_url is not None,
        "tus_versions": [tus.VERSION],
        "tus_extensions": tus.EXTENSIONS.split(","),
    }
    # Settings and limits share their names, so a new limit needs one field here.
    known = services.settings.model_dump(include=set(LimitsBody.model_fields))
    return LimitsBody(**{**known, **fixed}, containers=CONTAINERS)


@router.get(
    "/models",
    summary="List the models",
    operation_id="listModels",
    responses={200: {"content": {"application/json": {"example": [_MODEL]}}}},
)
def models(services: BareServicesDep) -> list[InstalledModel]:
    """The model packages that are installed at the API, by name, and whether a worker can run them."""
    settings, workers = services.settings, _workers(services)
    root = settings.models_dir or shipped_models_dir()
    found = []
    for name in list_packages(root):
        try:
            found.append(_installed(name, load_spec(root / name / "spec.json"), settings, workers))
        except SentilocError as error:
            # One broken package must not hide the others.
            logger.error("model package %s is not listed: %s", name, error.detail)
    return found


def _workers(services: Services) -> list[WorkerPresence]:
    try:
        return alive_workers(services.store.redis, services.store.prefix)
    except RedisError:
        # Without Redis the models are still listed; `is_served` is then null.
        return []


def _installed(
    name: str, spec: ModelSpec, settings: Settings, workers: list[WorkerPresence]
) -> InstalledModel:
    reasons = reasons_against(name, workers)
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
        is_served=not reasons if workers else None,
        not_served_because="; ".join(reasons) or None,
    )
