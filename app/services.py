"""What the routes work with, made once per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import Depends, Request

from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.events import EventStreams
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.redis.client import connect
from sentiloc.app.redis.shared_connection import SharedConnection
from sentiloc.app.settings import Settings
from sentiloc.app.storage.factory import make_storage
from sentiloc.app.storage.local import Storage
from sentiloc.app.uploads.store import UploadStore
from sentiloc.app.uploads.writer import Pieces


@dataclass(frozen=True, slots=True)
class Services:
    """Settings and the things that hold state."""

    settings: Settings
    store: JobStore
    shared: SharedConnection
    storage: Storage
    dispatcher: Dispatcher
    events: EventStreams
    uploads: UploadStore
    pieces: Pieces

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Connects to nothing yet."""
        redis = connect(settings)
        shared = SharedConnection(settings)
        storage = make_storage(settings)
        uploads = UploadStore(settings, redis, storage)
        return cls(
            settings=settings,
            store=JobStore(redis, settings.redis_prefix),
            shared=shared,
            storage=storage,
            dispatcher=Dispatcher(settings, redis),
            events=EventStreams(settings, shared),
            uploads=uploads,
            pieces=Pieces(settings, uploads),
        )


def get_services(request: Request) -> Services:
    """The services of the app that answers this request."""
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101
    return services


ServicesDep = Annotated[Services, Depends(get_services)]
