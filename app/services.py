"""The objects that the routes use, created once per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from anyio import CapacityLimiter
from fastapi import Depends, Request

from sentiloc.app.access.combining import Combining
from sentiloc.app.access.key_limits import KeyTurns
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.access.sessions import SessionStore
from sentiloc.app.batches.intake import BatchIntake
from sentiloc.app.batches.store import BatchStore
from sentiloc.app.housekeeping.erasure import Eraser
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.events import EventStreams
from sentiloc.app.jobs.feedback import FeedbackStore
from sentiloc.app.jobs.rerun import Rerunner
from sentiloc.app.jobs.store import JobReader, JobStore
from sentiloc.app.jobs.submit import Submitter
from sentiloc.app.redis.client import connect
from sentiloc.app.redis.shared_connection import SharedConnection
from sentiloc.app.settings import Settings
from sentiloc.app.sign_in.factory import make_sign_in
from sentiloc.app.sign_in.service import SignIn
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.factory import make_storage
from sentiloc.app.telemetry import outages
from sentiloc.app.telemetry.audit import AuditLog
from sentiloc.app.uploads.jobs import UploadJobs
from sentiloc.app.uploads.store import UploadStore
from sentiloc.app.uploads.writer import UploadWriter
from sentiloc.app.webhooks.endpoints import EndpointStore
from sentiloc.app.webhooks.outbox import Outbox
from sentiloc.app.webhooks.store import WebhookStore

# A body of a batch has up to 8 MiB, and needs many times as much memory while it is parsed.
_BATCHES_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Services:
    """The settings, stores and connections of the process."""

    settings: Settings
    shared: SharedConnection
    reader: JobReader
    store: JobStore
    keys: KeyStore
    feedback: FeedbackStore
    webhooks: WebhookStore
    storage: Storage
    dispatcher: Dispatcher
    submitter: Submitter
    events: EventStreams
    combining: Combining
    link_turns: KeyTurns
    uploads: UploadStore
    upload_writer: UploadWriter
    upload_jobs: UploadJobs
    rerunner: Rerunner
    batches: BatchStore
    batch_intake: BatchIntake
    batch_limiter: CapacityLimiter
    endpoints: EndpointStore
    outbox: Outbox
    eraser: Eraser
    audit: AuditLog
    sessions: SessionStore
    sign_in: SignIn | None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Create everything, without connecting yet."""
        redis, prefix = connect(settings), settings.redis_prefix
        shared = SharedConnection(settings)
        reader = JobReader(shared, prefix)
        store = JobStore(redis, prefix)
        dispatcher = Dispatcher(settings, redis)
        submitter = Submitter(
            store,
            dispatcher,
            settings.max_queued_per_key,
            settings.redis_wait_replicas,
            settings.max_stored_bytes_per_key,
        )
        storage = make_storage(settings)
        uploads = UploadStore(settings, redis, storage)
        upload_jobs = UploadJobs(settings, submitter, storage, uploads)
        batches, keys = BatchStore(store), KeyStore(redis, prefix)
        endpoints, sessions = EndpointStore(redis, prefix), SessionStore(settings, shared)
        return cls(
            settings=settings,
            shared=shared,
            reader=reader,
            store=store,
            keys=keys,
            feedback=FeedbackStore(redis, prefix, settings.max_feedback_bytes_per_key),
            webhooks=WebhookStore(redis, prefix, settings.webhook_timeout_seconds),
            storage=storage,
            dispatcher=dispatcher,
            submitter=submitter,
            events=EventStreams(settings, reader),
            combining=Combining(settings),
            link_turns=KeyTurns(settings.max_running_requests_per_key),
            uploads=uploads,
            upload_writer=UploadWriter(settings, uploads),
            upload_jobs=upload_jobs,
            rerunner=Rerunner(settings, submitter, storage),
            batches=batches,
            batch_intake=BatchIntake(settings, batches, dispatcher, upload_jobs),
            batch_limiter=CapacityLimiter(_BATCHES_AT_ONCE),
            endpoints=endpoints,
            outbox=Outbox(settings, store, batches, endpoints, keys),
            eraser=Eraser(store, storage, uploads, batches, endpoints, settings.features_dir),
            audit=AuditLog(settings.audit_log),
            sessions=sessions,
            sign_in=make_sign_in(settings, redis, keys, sessions),
        )


# Both functions are coroutines: the framework would call others in a thread, of which there may be none left.
async def get_services(request: Request) -> Services:
    """The services of the application that answers this request."""
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101
    return services


async def get_working_services(services: BareServicesDep) -> Services:
    """The same for a request that needs Redis; raises `redis.RedisError`.

    While Redis is away, such requests wait for one common command, and not each for its own in a thread.
    """
    if outages.REDIS.is_on:
        await services.shared.ask(("PING",))
        outages.REDIS.answered()
    return services


BareServicesDep = Annotated[Services, Depends(get_services)]
ServicesDep = Annotated[Services, Depends(get_working_services)]
