"""The HTTP application."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sentiloc.app.access.audit import AuditMiddleware
from sentiloc.app.access.cookies import OwnCookies
from sentiloc.app.access.guard import KeyGuard, is_signed_in_by_cookie
from sentiloc.app.access.sessions import SESSION_COOKIE
from sentiloc.app.housekeeping.corrections import OldCorrections
from sentiloc.app.housekeeping.holdings import Holdings
from sentiloc.app.housekeeping.reaper import Chore, Reaper
from sentiloc.app.http.address import Addressing
from sentiloc.app.http.answers import Answers, Running
from sentiloc.app.http.handlers import install_handlers
from sentiloc.app.http.health_listener import HealthListener
from sentiloc.app.http.methods import HeadRequests
from sentiloc.app.http.origin_guard import OriginGuard
from sentiloc.app.metrics.http import HttpMetrics, MetricsMiddleware
from sentiloc.app.openapi.docs_page import add_docs
from sentiloc.app.openapi.document import complete_openapi
from sentiloc.app.routes.account import erasure, hooks, keys, sign_in, usage
from sentiloc.app.routes.batches import batches
from sentiloc.app.routes.batches import results as batch_results
from sentiloc.app.routes.fast_path import JobStatusFastPath
from sentiloc.app.routes.jobs import changes, events, feedback, job, listing, localize, webhooks
from sentiloc.app.routes.reels import cuts, highlights, reels, share
from sentiloc.app.routes.results import curve, diff, result, thumbnails
from sentiloc.app.routes.service import about, health, key, metrics
from sentiloc.app.routes.service.page import add_page
from sentiloc.app.routes.uploads import presign
from sentiloc.app.routes.uploads import tus as upload_routes
from sentiloc.app.services import Services
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.sign_in.attempts import ATTEMPT_COOKIE
from sentiloc.app.telemetry.tracing import configure_tracing, stop_tracing
from sentiloc.app.uploads import tus
from sentiloc.app.version import version
from sentiloc.app.webhooks.sender import WebhookSender

# How soon a finished upload gets its job if the server stopped between the two.
_UPLOADS_SECONDS = 60.0
# How long a batch may stay in the lists after its record has expired.
_BATCHES_SECONDS = 3600.0
# How much later than planned a webhook may be sent after Redis's clock was set back.
_WEBHOOKS_SECONDS = 60.0
# Reads all jobs. Counts are exact, but for records of earlier versions.
_HOLDINGS_SECONDS = 3600.0
# The interval of steps through corrections of earlier versions.
_CORRECTIONS_SECONDS = 10.0
_DESCRIPTION = (
    "Finds *when* a video conveys positive or negative sentiment. "
    "Upload a video, follow the job, fetch the segments. "
    "Every error is an RFC 9457 problem with a stable `code`."
)


ROUTERS = [
    module.router
    for module in (
        *(highlights, cuts, reels, share),
        *(localize, listing, job, events, result, curve, feedback, about, key, metrics, health),
        *(
            presign,
            upload_routes,
            webhooks,
            thumbnails,
            batches,
            batch_results,
            changes,
            diff,
            hooks,
            usage,
            keys,
            erasure,
            sign_in,
        ),
    )
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application with its routes, middleware, error handlers, docs and background threads."""
    services, running = Services.from_settings(settings or get_settings()), Running()
    app = FastAPI(
        title="Sentiloc",
        version=version(),
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # A redirect would drop the body of an upload, and hide a client's mistake.
        redirect_slashes=False,
        # This project has its own spans, metrics and logs of requests; FastAPI's would duplicate them.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=_lifespan(services, running),
    )
    app.state.services = services
    app.state.routes = [route for routes in ROUTERS for route in routes.routes]
    # The middleware added last runs first: the fast path is innermost, after every guard.
    app.add_middleware(JobStatusFastPath, services=services)
    app.add_middleware(HeadRequests, routes=app.state.routes)
    if services.settings.keys_required:
        app.add_middleware(
            KeyGuard, settings=services.settings, shared=services.shared, sessions=services.sessions
        )
    if services.settings.audit_log is not None:
        required = services.settings.keys_required
        app.add_middleware(AuditMiddleware, log=services.audit, keys_required=required)
    _allow_origins(app, services.settings.cors_origins)
    app.add_middleware(
        OriginGuard,
        hosts=services.settings.host_names,
        origins=frozenset(services.settings.cors_origins),
        checks_origin=not services.settings.keys_required,
        is_signed_in=lambda headers: is_signed_in_by_cookie(headers, services.settings),
    )
    app.state.http_metrics = HttpMetrics()
    app.add_middleware(MetricsMiddleware, metrics=app.state.http_metrics)
    proxies = services.settings.trusted_proxies
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)
    app.add_middleware(OwnCookies, names=(SESSION_COOKIE, ATTEMPT_COOKIE))
    app.add_middleware(Addressing, root_path=services.settings.root_path, trusted=proxies)
    app.add_middleware(Answers, running=running)
    install_handlers(app)
    for routes in ROUTERS:
        app.include_router(routes)
    add_docs(app)
    add_page(app)
    complete_openapi(app, services.settings.keys_required)
    return app


def _allow_origins(app: FastAPI, origins: list[str]) -> None:
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"),
                *("If-Match", "Last-Event-ID", "Range", "X-API-Key", "X-Request-ID", *tus.ASKED_HEADERS),
                # Pages that are traced send these with every request.
                *("traceparent", "tracestate", "baggage"),
            ],
            expose_headers=[
                *("ETag", "Location", "Retry-After", "Idempotent-Replayed", "Content-Disposition"),
                *("Accept-Ranges", "Content-Range"),
                *(
                    "Deprecation",
                    "Link",
                    "RateLimit",
                    "RateLimit-Policy",
                    "Sentiloc-Notes",
                    "Sunset",
                    "X-Request-ID",
                ),
                *tus.ANSWERED_HEADERS,
            ],
        )


def _health_listener(settings: Settings) -> AbstractAsyncContextManager[None]:
    if settings.health_port is None:
        return nullcontext()
    return HealthListener(settings.host, settings.health_port).beating()


# The interval at which computing threads, such as those for highlights, yield the interpreter's lock. With Python's 5
# ms, the event loop would wait that long for each step of a request.
_SWITCH_SECONDS = 0.0005


# How long cancelled requests may take to be answered. `sentiloc serve` kills an API that needs two seconds more than
# SENTILOC_API_SHUTDOWN_SECONDS.
_CANCELLED_SECONDS = 1.0


def _lifespan(services: Services, running: Running) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(_SWITCH_SECONDS)
        chores = [
            Chore("uploads", _UPLOADS_SECONDS, services.upload_jobs.sweep),
            Chore("batches", _BATCHES_SECONDS, lambda: services.batches.forget_expired(services.keys.ids())),
            Chore("webhooks", _WEBHOOKS_SECONDS, services.webhooks.hasten),
            Chore("corrections", _CORRECTIONS_SECONDS, OldCorrections(services.feedback).step),
        ]
        holdings = Holdings(services.store, services.storage)
        chores.append(Chore("holdings", _HOLDINGS_SECONDS, lambda: holdings.repair(services.keys.ids())))
        reaper = Reaper(services.settings, services.store, services.storage, services.dispatcher, chores)
        sender = WebhookSender(services.settings, services.webhooks, services.outbox)
        configure_tracing(services.settings, "api")
        reaper.start()
        sender.start()
        async with _health_listener(services.settings):
            yield
        # Those that were cancelled because their time is over; some still write to the disk.
        await running.ended(_CANCELLED_SECONDS)
        sender.stop()
        reaper.stop()
        stop_tracing()
        await services.events.close()
        await services.shared.close()

    return lifespan
