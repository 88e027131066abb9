"""How workers hold, repeat and time out jobs, and their processes and caches."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

# More than any machine has memory for; each process loads the model.
MOST_PROCESSES = 256


class WorkSettings(BaseSettings):
    """How workers hold, repeat and time out jobs, and their processes and caches."""

    lease_seconds: float = Field(
        30.0, gt=0, description="A job whose worker does not report for this long is given to another worker"
    )
    stall_seconds: float = Field(
        25.0,
        gt=0,
        description="A job or worker process that does not respond for this long is killed; the job is retried",
    )
    stall_busy_seconds: float = Field(
        40.0,
        gt=0,
        description="A job that makes no progress for this long and uses SENTILOC_STALL_CPU_SECONDS is killed and "
        "retried",
    )
    stall_cpu_seconds: float = Field(
        6.0,
        gt=0,
        description="Processor time after which a job without progress counts as hung",
    )
    model_load_seconds: float = Field(
        900.0, gt=0, description="A job that waits longer for its model to load is killed and retried"
    )
    job_time_limit_seconds: int = Field(8 * 3600, gt=0, description="Time limit for one attempt at a job")
    max_attempts: int = Field(
        3, ge=1, description="Number of crashes of a worker after which a job fails with the code `poison`"
    )
    fault_pause_seconds: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="Pause of a job after a temporary fault (storage, model); doubled each time",
    )
    fault_pause_max_seconds: float = Field(120.0, gt=0, le=3600, description="Longest such pause")
    fault_patience_seconds: float = Field(
        86_400, gt=0, description="How long such faults may last before the job fails"
    )
    save_patience_seconds: float = Field(
        900.0, ge=0, description="How long a worker holds a computed result while the storage cannot take it"
    )
    model_wait_seconds: float = Field(
        86_400,
        gt=0,
        description="How long a queued job waits while no worker can run its model, before it fails",
    )
    reaper_interval_seconds: float = Field(
        5.0, gt=0, description="How often the API looks for lost jobs and expired data"
    )
    resend_seconds: float = Field(
        30.0, gt=0, description="A queued job that no worker takes for this long gets another message"
    )
    visibility_timeout_seconds: int = Field(
        3600,
        gt=0,
        description="A message that its worker does not acknowledge for this long is delivered again",
    )
    shutdown_grace_seconds: float = Field(
        5.0,
        ge=0,
        description="Time that a stopping worker has to finish its job before it puts it back into the queue",
    )
    worker_concurrency: int = Field(
        1,
        ge=1,
        le=MOST_PROCESSES,
        description="Concurrent jobs of one worker, at most 256; each one loads the model",
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
            "Whether API keys share cached features: a fast answer then tells a key that another one has sent the "
            "same video before"
        ),
    )
