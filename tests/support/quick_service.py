"""The application on a local port without a worker: every job gets the example result at once."""

from __future__ import annotations

import json
import threading
import time

import uvicorn

from sentiloc.app.http.connection_guard import guarded_protocol
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from tests.app.asking import finish


class QuickService:
    """A service for tests of clients and proxies, in which the content of the result does not matter."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        app = create_app(settings)
        config = uvicorn.Config(
            app, port=0, log_level="warning", http=guarded_protocol(settings), proxy_headers=False
        )
        self._server = uvicorn.Server(config)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._server.run), threading.Thread(target=self._work)]

    def __enter__(self) -> QuickService:
        for thread in self._threads:
            thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.should_exit = True
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def _work(self) -> None:
        with connect(self._settings) as redis:
            store = JobStore(redis, self._settings.redis_prefix)
            while not self._stop.wait(0.05):
                for job in redis.zrange(f"{store.prefix}queue", 0, -1):
                    finish(store, str(job), self._settings, json.dumps(EXAMPLE_RESULT).encode())
