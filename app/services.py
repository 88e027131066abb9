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
from app.storage import LocalStorage, Storage


@dataclass(frozen=True, slots=True)
class Services:
    """Settings and the four things that hold state."""

    settings: Settings
    store: JobStore
    storage: Storage
    dispatcher: Dispatcher
    events: EventStreams

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Connects to nothing yet."""
        redis = connect(settings)
        return cls(
            settings=settings,
            store=JobStore(redis, settings.redis_prefix),
            storage=LocalStorage(settings.data_dir),
            dispatcher=Dispatcher(settings, redis),
            events=EventStreams(settings),
        )


def get_services(request: Request) -> Services:
    """The services of the app that answers this request."""
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101
    return services


ServicesDep = Annotated[Services, Depends(get_services)]
