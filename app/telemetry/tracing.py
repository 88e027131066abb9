"""OpenTelemetry traces. Without the setting `tracing` this module does nothing and loads nothing.

OpenTelemetry's own variables `OTEL_…` configure where spans are sent. A job's record has the context of the request
that created it, so the worker's spans belong to the same trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sentiloc.app.settings import Settings
from sentiloc.app.version import version
from sentiloc.model.errors import ErrorCode, SentilocError

_TRACEPARENT = "traceparent"
_FLUSH_MILLISECONDS = 2000

_provider: Any = None


def configure_tracing(settings: Settings, role: str, processor: Any = None) -> None:
    """Start tracing this process if the settings say so.

    Args:
        settings: `tracing` switches tracing on.
        role: part of the service's name in traces, such as `api`.
        processor: a span processor; by default spans are sent in batches with OTLP over HTTP.

    Raises: `SentilocError` (`invalid_data`) if the libraries are not installed.
    """
    global _provider
    if not settings.tracing:
        return
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError as error:
        detail = (
            "SENTILOC_TRACING needs additional libraries. Run in Sentiloc's folder: pip install '.[otel]'"
        )
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
    names = {"service.name": f"sentiloc-{role}", "service.version": version()}
    _provider = TracerProvider(resource=Resource.create(names))
    _provider.add_span_processor(processor or _otlp_processor())


def _otlp_processor() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter())


def stop_tracing() -> None:
    """Send the remaining spans and stop tracing."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
    _provider = None


def flush() -> None:
    """Send all finished spans now, because a worker's child may end without notice."""
    if _provider is not None:
        _provider.force_flush(_FLUSH_MILLISECONDS)


@contextmanager
def span(
    name: str, parent: str | None = None, attributes: Mapping[str, str | int | float] | None = None
) -> Iterator[Any]:
    """A span around the block, as a child of `parent` (a `traceparent` text) or of the current span.

    Yields OpenTelemetry's span, or None without tracing.
    """
    if _provider is None:
        yield None
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({_TRACEPARENT: parent}) if parent else None
    tracer = _provider.get_tracer("sentiloc", version())
    with tracer.start_as_current_span(name, context=context, attributes=dict(attributes or {})) as found:
        yield found


def current_traceparent() -> str:
    """The context of the current span as a W3C `traceparent` text; empty without tracing."""
    if _provider is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(_TRACEPARENT, "")
