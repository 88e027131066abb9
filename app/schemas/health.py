"""The public contract of health and readiness, with examples."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from sentiloc.app.schemas.base import Body


class HealthBody(Body):
    """The process is alive."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"status": "ok", "version": "0.1.0"}]}
    )

    status: Literal["ok"] = "ok"
    version: str


class WorkerBody(Body):
    """A worker that is alive."""

    model: str
    model_version: str | None
    device: str | None = Field(description="The device that runs the model; null while no model is loaded")
    error: str | None
    served: list[str] | None = Field(
        description="The models that the worker can run; null if it does not say"
    )


class ReadyBody(Body):
    """Whether the service can process videos now."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "ready": True,
                    "redis": True,
                    "workers": [
                        {
                            "model": "fsenet-starter",
                            "model_version": "1",
                            "device": "cpu",
                            "error": None,
                            "served": ["fsenet-starter"],
                        }
                    ],
                    "reasons": [],
                    "warnings": [],
                }
            ]
        },
    )

    ready: bool
    redis: bool
    workers: list[WorkerBody]
    reasons: list[str] = Field(description="Why the service is not ready; empty if it is ready")
    warnings: list[str] = Field(
        [], description="What does not work at this API process although the service may be ready"
    )
