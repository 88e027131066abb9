"""Runs one job from claim to end. No other module of the worker writes to job records."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from redis import RedisError

from sentiloc.app.jobs.found import found_in
from sentiloc.app.jobs.leases import WaitingForOthers
from sentiloc.app.jobs.options import Quality
from sentiloc.app.jobs.record import JobError, JobRecord, JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.metrics.job_counters import JobMetrics, count_job
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.disk import full_is_typed
from sentiloc.app.storage.keys import reel_key, result_key
from sentiloc.app.telemetry import outages
from sentiloc.app.telemetry.logs import job_id_context
from sentiloc.app.telemetry.tracing import flush, span
from sentiloc.model.errors import ErrorCode, KilledProcessError, SentilocError
from sentiloc.worker.config import runtime_config, thumbnail_config
from sentiloc.worker.extraction.array_cache import cached_for
from sentiloc.worker.jobs.claiming import Claims
from sentiloc.worker.jobs.faults import (
    WrongVersionError,
    as_fault,
    is_temporary,
    persist,
    require_known,
    require_version,
)
from sentiloc.worker.jobs.fetch import fetch_source
from sentiloc.worker.jobs.health import Health
from sentiloc.worker.jobs.lease_keeper import LeaseKeeper, StallLimits, StopReason
from sentiloc.worker.jobs.process import end_hung_process, is_draining
from sentiloc.worker.jobs.provisional_results import ProvisionalPublisher
from sentiloc.worker.jobs.quotas import require_minutes, require_room
from sentiloc.worker.jobs.stored_results import discard_result, store_reel, store_result
from sentiloc.worker.pipelines.registry import Pipelines
from sentiloc.worker.pipelines.thumbnails import Owner, keep_stills, make_thumbnails
from sentiloc.worker.reels.storing import rendered

if TYPE_CHECKING:
    from pathlib import Path

    from sentiloc.model.results.task_result import AnyResult
    from sentiloc.worker.extraction.stills import Stills
    from sentiloc.worker.pipelines.base import PackagePipeline

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Pause between two tries while Redis is away.
_REDIS_SECONDS = 0.5
# Another worker may have the model, or room on its disk.
_OF_THIS_WORKER = (ErrorCode.MODEL_UNAVAILABLE, ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_UNAVAILABLE)
_UNEXPECTED = JobError(
    code=ErrorCode.INTERNAL, detail="An unexpected error occurred in the worker. Its log has the details."
)


class JobRunner:
    """Runs the jobs that messages name."""

    def __init__(self, settings: Settings, store: JobStore, storage: Storage, pipelines: Pipelines) -> None:
        self._settings = settings
        self._store = store
        self._storage = storage
        self._pipelines = pipelines
        self._config = runtime_config(settings, with_cache=True)
        self._health = Health(storage, pipelines, settings.features_dir)
        self._claims = Claims(settings, store, storage, pipelines)

    @property
    def health(self) -> Health:
        """Whether this worker can take jobs."""
        return self._health

    def run(self, job_id: str) -> bool:
        """Claim and run the next job; False if the message should go back to the broker.

        After a temporary fault a worker first waits until it is healthy again.
        """
        job_id_context.set(job_id)
        # Before the claim, because other workers could not run a claimed job meanwhile.
        if not self._health.wait(self._claims.can_others_work):
            return False
        record = self._claims.take(job_id)
        if isinstance(record, WaitingForOthers):
            logger.debug("the message is for workers that can run %s", ", ".join(sorted(record.models)))
            return False
        if record is None:
            logger.info("nothing to do: no queued job can be taken now")
            return True
        job_id_context.set(record.id)
        logger.info("attempt %d begins: %s, %d bytes", record.attempt, record.model, record.source_bytes)
        with LeaseKeeper(
            self._store,
            record.lease,
            self._settings.lease_seconds,
            limits=StallLimits.of(self._settings),
            on_hung=end_hung_process,
        ) as keeper:
            # Continues the trace of the request that created the job.
            with span("job", record.trace, {"job.id": record.id, "job.attempt": record.attempt}):
                is_done = self._work(record, keeper)
            # Before the next job, because Celery may replace this process at any time after it.
            flush()
            return is_done

    def _work(self, record: JobRecord, keeper: LeaseKeeper) -> bool:
        try:
            return self._attempt(record, keeper)
        except RedisError as error:
            # Without Redis nothing can be recorded, neither success nor failure.
            return self._give_back(record, keeper, error)

    def _attempt(self, record: JobRecord, keeper: LeaseKeeper) -> bool:
        try:
            if record.reel is None:
                self._localize(record, keeper)
            else:
                self._render(record, record.reel, keeper)
            self._health.proved()
        except SentilocError as error:
            # The decoder and the networks report a stop as this error; it is not the job's fault.
            if keeper.stop_reason is not None and error.code is ErrorCode.CANCELLED:
                return self._stopped(record, keeper)
            is_for_others = isinstance(error, WrongVersionError) and self._have_others(record, keeper)
            if is_temporary(error) or is_for_others:
                self._health.suspect(error)
                is_bounded = is_for_others or isinstance(error, KilledProcessError)
                self._defer(record, keeper, as_fault(error), is_bounded=is_bounded)
            else:
                self._fail(record, keeper, JobError(code=error.code, detail=error.detail))
        except RedisError:
            raise
        except Exception:
            logger.exception("the job failed unexpectedly")
            self._fail(record, keeper, _UNEXPECTED)
        return True

    def _localize(self, record: JobRecord, keeper: LeaseKeeper) -> None:
        began = time.monotonic()
        require_known(record)
        # Before the model is loaded and the video fetched, which cost time and traffic.
        require_minutes(self._store, record)
        with keeper.loading():
            pipeline = self._pipelines.get(record.model)
        require_version(record.options, pipeline)
        self._fetch(record, keeper)
        with ProvisionalPublisher(self._store, self._storage, record, keeper.waiting_outside) as publisher:
            self._find(record, pipeline, keeper, publisher, began)

    def _find(
        self,
        record: JobRecord,
        pipeline: PackagePipeline,
        keeper: LeaseKeeper,
        publisher: ProvisionalPublisher,
        began: float,
    ) -> None:
        # Separate caches, so that a job's speed does not reveal which videos another key has sent.
        owner = "" if self._settings.share_features else record.key_id or ""
        is_draft = record.options.quality is Quality.DRAFT
        shown = keep_stills(thumbnail_config(self._settings), self._config.work_dir, is_draft=is_draft)
        part = record.options.time_range
        with full_is_typed(), cached_for(owner), shown as stills, self._local_path(record, keeper) as path:
            options = record.options.cut(pipeline.default_options)
            with span("localize"):
                result = pipeline.localize(
                    path,
                    keeper.report,
                    options,
                    None if part is None else (part.start, part.end),
                    record.options.audio_track,
                    publisher.publish,
                    stills=stills,
                    is_draft=is_draft,
                )
            with span("thumbnails"):
                pictures = self._make_thumbnails(record, path, result, keeper, stills)
            size = path.stat().st_size
        duration = result.video.duration
        # Usage counts the processed part, not the whole video.
        media_seconds = duration if part is None else part.seconds(duration)
        metrics = JobMetrics(result.timings, media_seconds, time.monotonic() - began, size)
        # Inside `_local_path`: the size is needed, and on an object store the path is a temporary copy.
        self._save(record, result, pictures, metrics, keeper)

    @contextmanager
    def _local_path(self, record: JobRecord, keeper: LeaseKeeper) -> Iterator[Path]:
        """The video on this machine. Fetching it from the storage may take a while without progress."""
        with ExitStack() as stack:
            with keeper.waiting_outside():
                path = stack.enter_context(self._storage.local_path(record.source_key))
            yield path

    def _render(self, record: JobRecord, plan: str, keeper: LeaseKeeper) -> None:
        key, limits = reel_key(record.id, record.attempt), self._config.decode_limits
        folder = self._settings.reels_dir
        quality = self._settings.reel_quality
        with (
            full_is_typed(),
            span("render"),
            rendered(plan, self._storage, folder, limits, keeper, quality) as path,
            keeper.waiting_outside(),
        ):
            patience = self._settings.save_patience_seconds
            persist(lambda: store_reel(self._storage, record, key, path), keeper.check, patience)
            # The file first, then the record: a record never names a file that does not exist.
            size = path.stat().st_size
        if self._retry_write(keeper, lambda: self._store.succeed(record.lease, key, stored_bytes=size)):
            logger.info("succeeded with a reel")
        else:
            self._storage.delete(key)
            logger.info("the reel is discarded: the job was cancelled or given to another worker")

    def _make_thumbnails(
        self, record: JobRecord, path: Path, result: AnyResult, keeper: LeaseKeeper, stills: Stills | None
    ) -> list[bytes]:
        config, cache = thumbnail_config(self._settings), self._config.cache
        owner = None
        if cache is not None:
            owner = Owner(
                storage=self._storage,
                job_id=record.id,
                attempt=record.attempt,
                cache=cache,
                waiting=keeper.waiting_outside,
            )
        peaks = [segment.peak for segment in result.segments]
        return make_thumbnails(path, peaks, config, self._config.decode_limits, keeper.check, owner, stills)

    def _save(
        self,
        record: JobRecord,
        result: Any,
        pictures: Sequence[bytes],
        metrics: JobMetrics,
        keeper: LeaseKeeper,
    ) -> None:
        key = result_key(record.id, record.attempt)
        patience = self._settings.save_patience_seconds
        with keeper.waiting_outside():
            count, size = persist(
                lambda: store_result(self._storage, record, key, result, pictures), keeper.check, patience
            )
        labels = {segment.label for segment in result.segments}
        media = metrics.media_seconds
        if self._retry_write(
            keeper,
            lambda: self._store.succeed(
                record.lease,
                key,
                labels,
                media_seconds=media,
                thumbnails=count,
                duration=result.video.duration,
                found=found_in(result.segments),
                stored_bytes=size,
            ),
        ):
            logger.info("succeeded with %d segments", len(result.segments))
            self._count(metrics)
        else:
            discard_result(self._storage, record, key, count)
            logger.info("the result is discarded: the job was cancelled or given to another worker")

    def _count(self, metrics: JobMetrics) -> None:
        try:
            count_job(self._store.redis, self._store.prefix, metrics)
        except RedisError as error:
            logger.warning("the job's metrics could not be counted: %s", error)

    def _fetch(self, record: JobRecord, keeper: LeaseKeeper) -> None:
        """Fetch the video if the job names a URL, unless an earlier attempt has done so."""
        if record.source_url is None:
            return
        with keeper.waiting_outside():
            # An earlier attempt has stored the video; fetching again could give another one.
            size = self._storage.size(record.source_key)
            if size is None:
                require_room(self._store, record, self._settings.max_stored_bytes_per_key)
                is_dropped = partial(self._is_dropped, record.id)
                size = fetch_source(
                    record, self._storage, self._settings, keeper.report, is_dropped=is_dropped
                )
        if size == record.source_bytes:
            return
        part, most = record.options.time_range, self._settings.max_stored_bytes_per_key
        try:
            self._retry_write(keeper, lambda: self._store.fetched(record.lease, size, part, most))
        except SentilocError:
            self._storage.delete(record.source_key)
            raise

    def _is_dropped(self, job_id: str) -> bool:
        """Whether a job was cancelled or deleted; False while Redis cannot be reached."""
        with suppress(RedisError):
            found = self._store.get(job_id)
            return found is None or found.state is JobState.CANCELLED
        return False

    def _fail(self, record: JobRecord, keeper: LeaseKeeper, error: JobError) -> None:
        kept = self._retry_write(keeper, lambda: self._store.fail(record.lease, error))
        logger.info("failed with %s: %s%s", error.code, error.detail, "" if kept else " (no longer ours)")

    def _have_others(self, record: JobRecord, keeper: LeaseKeeper) -> bool:
        """Whether other workers have the job's model, perhaps in the version that this one lacks."""
        return self._retry_write(keeper, lambda: bool(self._claims.others(record.model)))

    def _defer(self, record: JobRecord, keeper: LeaseKeeper, error: JobError, *, is_bounded: bool) -> None:
        """Put the job back with a pause, because its video is not at fault."""
        state = self._retry_write(
            keeper, lambda: self._store.defer(record.lease, error, self._settings, is_bounded=is_bounded)
        )
        logger.warning("%s: %s; the job is %s", error.code, error.detail, state or "no longer ours")
        if error.code in _OF_THIS_WORKER:
            self._retry_write(keeper, lambda: self._claims.leave(record))

    def _give_back(self, record: JobRecord, keeper: LeaseKeeper, error: RedisError) -> bool:
        """Redis was away for so long that the lease is lost. The worker is alive, so this does not count as a crash."""
        logger.warning("the work on the job is lost, Redis cannot be reached: %s", error)
        with keeper.waiting_outside():
            while not is_draining():
                try:
                    # True if another worker has the job. Then this message is done.
                    return not self._store.release(record.lease)
                except RedisError:
                    time.sleep(_REDIS_SECONDS)
        raise error

    def _stopped(self, record: JobRecord, keeper: LeaseKeeper) -> bool:
        logger.info("stopped: %s", keeper.stop_reason)
        if keeper.stop_reason is StopReason.DRAINING:
            return not self._retry_write(keeper, lambda: self._store.release(record.lease))
        return True

    def _retry_write(self, keeper: LeaseKeeper, write: Callable[[], T]) -> T:
        """Retry a write until Redis answers, for up to ten times the lease duration.

        This time does not count as hung. A stopping worker does not wait.
        """
        # By then the lease is lost anyway; the write only still counts if no one took the job.
        deadline = time.monotonic() + 10 * self._settings.lease_seconds
        with keeper.waiting_outside():
            while True:
                try:
                    return write()
                except RedisError as error:
                    if time.monotonic() > deadline or is_draining():
                        raise
                    outages.REDIS.failed(error)
                    time.sleep(_REDIS_SECONDS)
