"""`/healthz` on a second port answers while the service's main port is flooded, and reports a hanging event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.http import health_listener
from sentiloc.app.http.health_listener import HealthListener
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.model.errors import SentilocError
from tests.support.servers import free_port
from tests.support.services import PATIENCE, wait_for


def ask(port: int, path: str = "/healthz") -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def in_thread(port: int, path: str = "/healthz") -> asyncio.Future[int]:
    return asyncio.get_running_loop().run_in_executor(None, ask, port, path)


def test_it_answers_only_that_and_only_while_the_loop_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_listener, "_SILENCE_SECONDS", 5.0)
    answered = threading.Event()

    def ask_until_hung(port: int) -> int:
        deadline = time.monotonic() + PATIENCE
        while (status := ask(port)) == 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        answered.set()
        return status

    async def listen() -> tuple[int, int, int]:
        listener = HealthListener("127.0.0.1", 0)
        async with listener.beating():
            alive, other = await in_thread(listener.port), await in_thread(listener.port, "/jobs")
            late = asyncio.get_running_loop().run_in_executor(None, ask_until_hung, listener.port)
            answered.wait(2 * PATIENCE)  # the service's event loop hangs here
            return alive, other, await late

    assert asyncio.run(listen()) == (200, 404, 503)


def answers(port: int) -> bool:
    """Whether it answers; while it has too many connections it closes others."""
    try:
        return ask(port) == 200
    except OSError:
        return False


def test_half_open_connections_to_it_are_dropped() -> None:
    async def listen() -> bool:
        listener = HealthListener("127.0.0.1", 0)
        async with listener.beating():
            with contextlib.ExitStack() as stack:
                for _ in range(64):
                    stack.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
                loop, port = asyncio.get_running_loop(), listener.port
                return await loop.run_in_executor(None, wait_for, lambda: answers(port))

    assert asyncio.run(listen())


def test_the_service_listens_at_the_configured_address(settings: Settings) -> None:
    port = free_port()
    with TestClient(create_app(settings.model_copy(update={"health_port": port}))):
        assert ask(port) == 200
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = settings.model_copy(update={"health_port": taken.getsockname()[1]})
        with pytest.raises(SentilocError, match="SENTILOC_HEALTH_PORT"), TestClient(create_app(busy)):
            pass
