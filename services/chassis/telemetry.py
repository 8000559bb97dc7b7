"""What a role tells about itself: structured logs, traces when a collector is named, metrics."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.trace.propagation import tracecontext

from services.chassis import config

_TRACE_PARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_trace_parent: ContextVar[str] = ContextVar("trace_parent", default="")
_request_id: ContextVar[str] = ContextVar("request_id", default="")
_role: ContextVar[str] = ContextVar("role", default="")

_propagator = tracecontext.TraceContextTextMapPropagator()


def setup(role: str, settings: config.TelemetrySettings) -> None:
    """Configure logs and traces of the process; once, before any event loop runs.

    Reconfiguring logs while gRPC's threads write to them can deadlock, so nothing else may do it.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_call,
        structlog.processors.format_exc_info,
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        shared.remove(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    enter(role)
    if settings.otlp_endpoint:
        _start_tracing(role, settings)


def enter(role: str) -> None:
    """Name the role that the present task works for; its logs carry it."""
    _role.set(role)


def begin(trace_parent: str, request_id: str) -> None:
    """Take over the trace and the request id that a call arrived with."""
    if trace_parent and not _TRACE_PARENT.fullmatch(trace_parent):
        trace_parent = ""
    _trace_parent.set(trace_parent)
    _request_id.set(request_id[:128])


def trace_parent() -> str:
    """Return the W3C trace context of the call at hand; empty when there is none."""
    return _trace_parent.get()


def request_id() -> str:
    """Return the request id of the call at hand; empty when there is none."""
    return _request_id.get()


def is_tracing() -> bool:
    """Tell whether spans go anywhere."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def span(name: str, kind: trace.SpanKind, attributes: Mapping[str, str]) -> Iterator[trace.Span]:
    """Record the block as a span under the trace of the call at hand, and make it the parent."""
    parent = _propagator.extract({"traceparent": trace_parent()})
    tracer = trace.get_tracer("tessera")
    with tracer.start_as_current_span(name, parent, kind, attributes) as current:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        token = _trace_parent.set(carrier.get("traceparent", ""))
        try:
            yield current
        finally:
            _trace_parent.reset(token)


def _add_call(_logger: object, _name: str, event: structlog.typing.EventDict) -> Any:
    event["role"] = _role.get()
    if parent := _trace_parent.get():
        event["trace_id"] = parent.split("-")[1]
    if request := _request_id.get():
        event["request_id"] = request
    return event


def _start_tracing(role: str, settings: config.TelemetrySettings) -> None:
    # Imported on demand: the exporter costs memory that most installations would waste.
    from opentelemetry.exporter.otlp.proto.grpc import trace_exporter
    from opentelemetry.sdk import resources
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace import export, sampling

    provider = sdk.TracerProvider(
        resource=resources.Resource.create({"service.name": f"tessera-{role}"}),
        sampler=sampling.ParentBasedTraceIdRatio(settings.sampling_ratio),
    )
    exporter = trace_exporter.OTLPSpanExporter(endpoint=settings.otlp_endpoint, insecure=True)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
