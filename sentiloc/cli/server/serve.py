"""`sentiloc serve`: API, worker and a private Redis on one machine, supervised."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import typer
from redis import RedisError

import sentiloc
from sentiloc.app.http.listening import listen
from sentiloc.app.jobs.presence import forget_workers
from sentiloc.app.redis.client import connect
from sentiloc.app.schemas.health import ReadyBody
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.sign_in.factory import require_library
from sentiloc.app.telemetry.logs import configure_logging
from sentiloc.cli.options import DataDir, Host, Port, absolute_data_dir, override, warn_of_unknown_settings
from sentiloc.cli.server.redis_server import (
    check_data,
    find_redis_server,
    redis_command,
    remove_socket,
    socket_path,
    wait_for_redis,
)
from sentiloc.cli.server.supervisor import ChildSpec, Supervisor
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

# Redis loads all of its data before it answers.
_REDIS_START_SECONDS = 60.0
# Redis syncs its file before it exits, which takes seconds on a slow disk.
_PREVIOUS_END_SECONDS = 15.0
_ASK_SECONDS = 0.3
# Connections that the kernel holds while the API restarts.
_BACKLOG = 1024


def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run API, worker and (unless SENTILOC_REDIS_URL is set) a private Redis, until Ctrl-C."""
    override(host=host, port=port, data_dir=data_dir)
    settings = get_settings()
    configure_logging(settings)
    warn_of_unknown_settings()
    # Otherwise the supervisor would repeatedly start an API that cannot run with these settings.
    require_library(settings)
    folder = absolute_data_dir(settings)
    with _listen(settings) as listener, _lock(folder) as lock:
        supervisor = Supervisor()
        supervisor.install_signals()
        try:
            _run(supervisor, settings, folder, listener, lock)
        finally:
            supervisor.stop()
            remove_socket(folder / "redis")
    typer.echo("Sentiloc has stopped.", err=True)


def _run(
    supervisor: Supervisor, settings: Settings, folder: Path, listener: socket.socket, lock: IO[str]
) -> None:
    env = _environment(folder)
    if settings.redis_url is None:
        redis = _redis_child(folder / "redis", env, lock.fileno())
        env["SENTILOC_REDIS_URL"] = _url(redis)
        supervisor.start(redis)
        _forget_previous_run(settings, env["SENTILOC_REDIS_URL"])
    # API and worker need some time to stop, in addition to the time for open requests and jobs.
    api_seconds = settings.api_shutdown_seconds + 2.0
    worker_seconds = settings.shutdown_grace_seconds + 10.0
    listening = ["api", "--fd", str(listener.fileno())]
    supervisor.start(_sentiloc_child("API", listening, env, listener, stop_seconds=api_seconds))
    worker = _sentiloc_child("worker", ["worker"], env, stop_seconds=worker_seconds)
    supervisor.start(
        replace(worker, niceness=settings.worker_niceness, silence_seconds=settings.stall_seconds)
    )
    url = _public_url(settings, listener)
    reporter = _ReadinessReporter(url, _keys_command(settings, folder))
    # Repeated failures end everything until the service was ready once.
    if supervisor.watch(until=reporter):
        supervisor.watch()


def _environment(folder: Path) -> dict[str, str]:
    root = str(Path(sentiloc.__file__).resolve().parents[1])
    # Children run with -P, which leaves the current folder out; the package may lie in a checkout.
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "SENTILOC_DATA_DIR": str(folder), "PYTHONPATH": os.pathsep.join(paths)}


def _redis_child(folder: Path, env: dict[str, str], lock_fd: int) -> ChildSpec:
    folder.mkdir(exist_ok=True, mode=0o700)
    program = find_redis_server()
    check_data(program, folder)
    path = socket_path(folder)
    url = f"unix://{path}"
    return ChildSpec(
        name="Redis",
        command=redis_command(program.path, folder, path),
        env=env,
        log=f"its log is {folder / 'redis.log'}",
        # Redis inherits the lock, so other supervisors cannot use the files while it runs.
        pass_fds=(lock_fd,),
        ready=lambda: wait_for_redis(url, _REDIS_START_SECONDS),
    )


def _url(redis: ChildSpec) -> str:
    return f"unix://{redis.command[list(redis.command).index('--unixsocket') + 1]}"


def _forget_previous_run(settings: Settings, url: str) -> None:
    """Remove the reports of the previous run's workers. For some seconds they would count as alive."""
    # Redis does not answer if Ctrl-C came while it started.
    with suppress(RedisError), connect(settings.model_copy(update={"redis_url": url})) as redis:
        forget_workers(redis, settings.redis_prefix)


def _keys_command(settings: Settings, folder: Path) -> str | None:
    """The command that creates a key for this service; None if the service asks for none."""
    if not settings.keys_required:
        return None
    command = ["sentiloc", "keys", "create", "--name", "NAME"]
    # Elsewhere the command would look for the private Redis in the default folder.
    default = Path(Settings.model_fields["data_dir"].default)
    if settings.redis_url is None and folder != default.resolve():
        command += ["--data-dir", str(folder)]
    return shlex.join(command)


def _sentiloc_child(
    name: str,
    arguments: list[str],
    env: dict[str, str],
    listener: socket.socket | None = None,
    *,
    stop_seconds: float,
) -> ChildSpec:
    # -P: modules must not be imported from the current folder.
    start = [sys.executable, "-P", "-c", "from sentiloc.cli.main import main; main()"]
    fds = () if listener is None else (listener.fileno(),)
    return ChildSpec(
        name=name, command=[*start, *arguments], env=env, pass_fds=fds, stop_seconds=stop_seconds
    )


def _listen(settings: Settings) -> socket.socket:
    """Bind the port in the supervisor, so that clients wait instead of failing while the API restarts."""
    try:
        return listen(settings.host, settings.port, _BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        detail = f"cannot listen on {settings.host}:{settings.port}: {reason}; choose another with --port"
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error


def _lock(folder: Path) -> IO[str]:
    """Lock the data folder. If an earlier supervisor was killed, wait for its Redis to end."""
    file = (folder / "serve.lock").open("a+", encoding="utf-8")
    deadline = time.monotonic() + _PREVIOUS_END_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = _holder(file)
            if _is_alive(holder) or time.monotonic() > deadline:
                file.close()
                detail = f"the data folder {folder} is in use by another `sentiloc serve` (process {holder})"
                raise SentilocError(ErrorCode.INVALID_DATA, detail) from None
            time.sleep(0.1)
    # Opened for appending, so that the id of the holder could be read before the lock was taken.
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _holder(file: IO[str]) -> int:
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isdigit() else 0


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # The process exists, but belongs to another user.
    except PermissionError:
        return True
    return True


def _public_url(settings: Settings, listener: socket.socket) -> str:
    # A browser cannot open the address that means all interfaces.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{host}:{listener.getsockname()[1]}"


class _ReadinessReporter:
    """Prints the address when the API answers, and again when a worker is ready."""

    def __init__(self, url: str, keys_command: str | None) -> None:
        self._url = url
        self._keys_command = keys_command
        self._said = ""
        self._next_at = 0.0

    def __call__(self) -> bool:
        """True once the service is ready."""
        if time.monotonic() < self._next_at:
            return False
        self._next_at = time.monotonic() + _ASK_SECONDS
        body = _read_readiness(self._url)
        if body is None:
            return False
        devices = [worker.device for worker in body.workers if worker.device and not worker.error]
        errors = sorted({worker.error for worker in body.workers if worker.error})
        if body.ready:
            self._greet(f"Sentiloc is ready; its model runs on {devices[0]}.")
        # Each reason is said once, not at every poll.
        elif errors and errors[0] != self._said:
            self._said = errors[0]
            self._greet(f"Sentiloc is up, but cannot localize yet: {self._said}")
        return body.ready

    def _greet(self, state: str) -> None:
        shown = "-H 'Authorization: Bearer KEY' " if self._keys_command else ""
        lines = [
            state,
            f"  page:    {self._url}",
            f"  upload:  curl {shown}-F video=@VIDEO.mp4 {self._url}/v1/localize",
            f"  docs:    {self._url}/docs",
        ]
        if self._keys_command:
            lines.append(f"  keys:    {self._keys_command}")
        typer.echo("\n".join(lines))
        sys.stdout.flush()


def _read_readiness(url: str) -> ReadyBody | None:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1.0) as answer:  # noqa: S310
            return ReadyBody.model_validate_json(answer.read())
    except urllib.error.HTTPError as error:
        # A service that is not ready answers 503, with the reasons in the same body.
        return ReadyBody.model_validate_json(error.read()) if error.code == 503 else None
    except (OSError, ValueError):
        return None
