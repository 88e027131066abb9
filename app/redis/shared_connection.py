"""Batches the Redis commands of concurrent requests over one connection, without threads.

Every status poll uses it. The client's own `pipeline` needs twice the processor time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis import ConnectionError as RedisConnectionError
from redis import RedisError, ResponseError
from redis import TimeoutError as RedisTimeoutError
from redis.asyncio.connection import AbstractConnection, ConnectionPool

from sentiloc.app.redis.client import connection_pool
from sentiloc.app.settings import Settings

_RETRY_SECONDS = 0.05
Command = tuple[str, ...]
_Asked = tuple[Sequence[Command], asyncio.Future[list[Any]]]


class SharedConnection:
    """A connection for one event loop. A command may be sent twice, so only repeatable commands are allowed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ConnectionPool | None = None
        self._connection: AbstractConnection | None = None
        self._waiting: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, *commands: Command) -> list[Any]:
        """The answers of Redis, hashes as flat lists; raises `redis.RedisError` within seconds."""
        loop = asyncio.get_running_loop()
        # Tests run several event loops; a connection cannot be used in another one.
        if loop is not self._loop:
            self._loop, self._connection, self._waiting, self._task = loop, None, [], None
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((commands, future))
        # While a batch is on its way, new commands collect and go out together in the next one.
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._serve())
        return await future

    async def hash(self, key: str) -> dict[str, str]:
        """The fields of a hash; empty if it does not exist."""
        return pairs((await self.ask(("HGETALL", key)))[0])

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.disconnect()

    async def _serve(self) -> None:
        """Send waiting commands until none wait."""
        while self._waiting:
            # Commands that arrive during the round trip belong to the next batch.
            batch, self._waiting = self._waiting, []
            try:
                answers = await self._ask_twice([one for commands, _ in batch for one in commands])
            except Exception as error:
                # Whatever the failure is, every waiting request must get it, or it would wait forever.
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                _hand_out(batch, answers)

    async def _ask_twice(self, commands: list[Command]) -> list[Any]:
        """Retry over a new connection, because the old one may have been lost long ago."""
        try:
            return await self._ask_once(commands)
        except RedisConnectionError:
            await asyncio.sleep(_RETRY_SECONDS)
            return await self._ask_once(commands)

    async def _ask_once(self, commands: list[Command]) -> list[Any]:
        if self._connection is None:
            self._pool = connection_pool(self._settings)
            self._connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        connection = self._connection
        try:
            async with asyncio.timeout(self._settings.redis_timeout_seconds):
                if not connection.is_connected:
                    # Sending a command also connects, but to the last known host. Only an explicit `connect` asks the
                    # Sentinels again.
                    await connection.connect()
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                answers = [await _answer(connection) for _ in commands]
        except TimeoutError as error:
            await connection.disconnect(nowait=True)
            raise RedisTimeoutError("Redis does not answer") from error
        except RedisError:
            # Close, so that unread answers are not mistaken for those of the next batch.
            await connection.disconnect(nowait=True)
            raise
        if any(isinstance(answer, ResponseError) for answer in answers):
            # Perhaps this Redis is no primary any more; a new connection asks the Sentinels.
            await connection.disconnect(nowait=True)
        return answers


async def _answer(connection: AbstractConnection) -> Any:
    """The next answer. A refusal is returned, not raised, because it concerns only one of the commands."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _hand_out(batch: Sequence[_Asked], answers: Sequence[Any]) -> None:
    begin = 0
    for commands, future in batch:
        end = begin + len(commands)
        own = list(answers[begin:end])
        refused = next((answer for answer in own if isinstance(answer, ResponseError)), None)
        if not future.done():
            if refused is None:
                future.set_result(own)
            else:
                future.set_exception(refused)
        begin = end


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """Convert a flat list (field, value, field, value) to a dictionary."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
