"""What the routes work with, made once per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import Depends, Request

from app.broker import Dispatcher
from app.event_streams import EventStreams
from app.job_store import JobStore
from app.redis_client import connect
from app.settings import Settings
from app.shared_connection import SharedConnection
from app.storage import Storage
from app.storages import make_storage
from app.upload_pieces import Pieces
from app.upload_store import UploadStore


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
