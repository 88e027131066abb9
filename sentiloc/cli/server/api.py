"""`sentiloc api`: uvicorn with the HTTP application."""

from __future__ import annotations

import socket
from typing import Annotated

import typer
import uvicorn

from sentiloc.app.http.connection_guard import guarded_protocol
from sentiloc.app.jobs.schema import check_schema
from sentiloc.app.redis.failures import check_redis
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.telemetry.logs import configure_logging
from sentiloc.cli.options import Host, Port, override, warn_of_unknown_settings


def api(
    host: Host = None,
    port: Port = None,
    fd: Annotated[int | None, typer.Option(hidden=True, help="An inherited listening socket")] = None,
) -> None:
    """Run the HTTP API; Redis and the data folder come from the SENTILOC_* settings."""
    override(host=host, port=port)
    settings = get_settings()
    configure_logging(settings)
    if fd is None:
        # `sentiloc serve`, which passes the socket, has warned already.
        warn_of_unknown_settings()
    check_redis(settings)
    check_schema(settings)
    server = uvicorn.Server(_config(settings))
    server.run(sockets=None if fd is None else [socket.socket(fileno=fd)])
    if not server.started:
        # uvicorn logs why it cannot start, and then returns as if all were well.
        raise SystemExit(1)


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "sentiloc.app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        # Otherwise uvicorn installs its own log handlers beside those of configure_logging.
        log_config=None,
        access_log=settings.log_level == "debug",
        server_header=False,
        http=guarded_protocol(settings),
        # The application handles proxy headers itself, because it also needs the proxy's own address.
        proxy_headers=False,
        timeout_keep_alive=10,
        # Event streams never end by themselves; clients continue them after the restart.
        timeout_graceful_shutdown=settings.api_shutdown_seconds,
    )
