"""The life of a role's server: start, health, drain, stop."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

import grpc
import protovalidate
import structlog
from google.protobuf import descriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from services.chassis import auth, config, deadlines, limits, measures, methods, tasks, telemetry

Check = Callable[[], Awaitable[object]]
Work = Callable[[], Awaitable[None]]

READINESS = "readiness"
LIVENESS = "liveness"
#: Far above what the gateway lets through. gRPC refuses a message by the length that it announces,
#: without a reason, which would overtake the gateway's refusal of what it has counted.
MESSAGE_BYTES_MAX = 64 * 1024 * 1024

_GC_OBJECTS = 20_000
_CHECK_EVERY_S = 2.0
_CHECK_S_MAX = 1.0
_RESTART_S_MIN = 0.1
_RESTART_S_MAX = 10.0

log = structlog.get_logger()
_stops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Event] = WeakKeyDictionary()


class _Dispatch(grpc.GenericRpcHandler):
    """One table for all methods of a server.

    Stands in for the server where generated code adds a servicer: that code would also register
    every method with gRPC itself, which slows down all calls.
    """

    def __init__(self) -> None:
        self.table: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._others: list[grpc.GenericRpcHandler] = []

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = self.table.get(handler_call_details.method)
        if handler is None:
            found = (other.service(handler_call_details) for other in self._others)
            handler = next((other for other in found if other is not None), None)
        return handler

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._others.extend(handlers)

    def add_registered_method_handlers(self, *_: object) -> None:
        """Register nothing."""


class Server:
    """Answers the calls of one role until it is told to stop.

    `checks` are the pings of what the role cannot work without: while one of them fails, the role
    says NOT_SERVING. Without a verifier every caller is anonymous and no scope is asked: for tests.
    """

    def __init__(
        self,
        role: str,
        settings: config.ServerSettings,
        *,
        verifier: auth.Verifier | None,
        checks: Mapping[str, Check] | None = None,
    ) -> None:
        self._role = role
        self._settings = settings
        self._checks = dict(checks or {})
        self._limiter = limits.Limiter(
            places=settings.concurrency_limit, queue_ms_max=settings.queue_ms_max
        )
        self._gate = methods.Gate(
            settings=settings,
            verifier=verifier,
            limiter=self._limiter,
            validator=protovalidate.Validator(),
        )
        self._dispatch = _Dispatch()
        self._services: list[str] = []
        self._background: dict[str, Work] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._health = health.aio.HealthServicer()
        self._is_serving: bool | None = None
        self._server: grpc.aio.Server | None = None
        self._exporter: measures.Exporter | None = None
        self.port = 0
        self.metrics_port = 0

    def add(
        self,
        servicer: object,
        service: descriptor.ServiceDescriptor,
        *,
        low_priority: Collection[str] = (),
    ) -> None:
        """Serve every method of a service with the method of the same name of `servicer`.

        Methods named in `low_priority` are shed first. Raises ValueError when the contract and the
        servicer do not fit together, or a method has no permission.
        """
        unknown = set(low_priority) - {method.name for method in service.methods}
        if unknown:
            raise ValueError(f"{service.full_name} has no method {', '.join(sorted(unknown))}")
        for method in service.methods:
            behaviour = getattr(servicer, method.name, None)
            if behaviour is None:
                raise ValueError(f"{type(servicer).__name__} lacks the method {method.name}")
            self._dispatch.table[f"/{service.full_name}/{method.name}"] = methods.compose(
                method, behaviour, self._gate, low_priority=method.name in low_priority
            )
        self._services.append(service.full_name)

    def background(self, name: str, work: Work) -> None:
        """Run `work` beside the calls, again when it fails; it is cancelled after the drain."""
        self._background[name] = work

    async def serve(self) -> None:
        """Answer calls until the process gets SIGTERM or SIGINT, then drain and stop."""
        stop = _stop_event()
        await self.start()
        # What was loaded so far stays; collections need not walk through it again and again. Calls
        # in flight hold some hundred objects each: a collection every 700 mostly meets the living.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS, 20, 50)
        try:
            await stop.wait()
        finally:
            await self.stop()

    async def start(self) -> int:
        """Start answering; return the port. Raises ConfigError when a port is taken."""
        telemetry.enter(self._role)
        server = self._make_server()
        self._exporter = self._export()
        self.metrics_port = self._exporter.port
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self._check_once()
        await server.start()
        self._server = server
        with deadlines.unbounded():
            self._start_tasks()
        log.info("serving", port=self.port, metrics_port=self.metrics_port)
        return self.port

    async def stop(self) -> None:
        """Say NOT_SERVING, let calls in flight finish within `drain_s`, then stop everything."""
        log.info("draining", in_flight=self._limiter.in_flight)
        await self._health.enter_graceful_shutdown()
        if self._server is not None:
            await self._server.stop(self._settings.drain_s)
        await tasks.end(*self._tasks)
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.close)
        log.info("stopped")

    def _make_server(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=self._options())
        server.add_generic_rpc_handlers((self._dispatch,))
        dispatch = cast("Any", self._dispatch)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, dispatch)
        names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        cast("Any", reflection_pb2_grpc).add_ServerReflectionServicer_to_server(
            reflection.aio.ReflectionServicer(names), dispatch
        )
        settings = self._settings
        try:
            self.port = server.add_insecure_port(f"{settings.host}:{settings.port}")
        except RuntimeError:
            raise self._taken("port", settings.port) from None
        return server

    def _options(self) -> list[tuple[str, int]]:
        settings = self._settings
        return [
            # Two servers on one port would silently share the calls.
            ("grpc.so_reuseport", 0),
            # Clients look up addresses again only when a connection ends.
            ("grpc.max_connection_age_ms", settings.max_connection_age_s * 1000),
            ("grpc.max_connection_age_grace_ms", settings.max_connection_age_grace_s * 1000),
            # Agrees with the keepalive of our clients; see clients.channel.
            ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ]

    def _export(self) -> measures.Exporter:
        gauge = measures.IN_FLIGHT.labels(self._role)
        gauge.set_function(lambda: self._limiter.in_flight)
        settings = self._settings
        try:
            return measures.Exporter(settings.host, settings.metrics_port)
        except OSError:
            raise self._taken("metrics_port", settings.metrics_port) from None

    def _taken(self, name: str, port: int) -> config.ConfigError:
        return config.ConfigError(f"{self._role}.server.{name} {port} cannot be used: it is taken.")

    def _start_tasks(self) -> None:
        self._tasks = [
            asyncio.create_task(_keep_running(name, work), name=name)
            for name, work in {"health": self._check_always, **self._background}.items()
        ]

    async def _check_always(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            await self._check_once()

    async def _check_once(self) -> None:
        failures = await asyncio.gather(*(_failure(check) for check in self._checks.values()))
        failing = {name: why for name, why in zip(self._checks, failures, strict=True) if why}
        is_serving = not failing
        if is_serving != self._is_serving:
            if failing:
                log.warning("not serving", **failing)
            self._is_serving = is_serving
            for name in ("", READINESS, *self._services):
                await self._health.set(
                    name,
                    health_pb2.HealthCheckResponse.SERVING
                    if is_serving
                    else health_pb2.HealthCheckResponse.NOT_SERVING,
                )


async def _failure(check: Check) -> str:
    """Return why a dependency does not answer; empty when it does."""
    try:
        with deadlines.within(_CHECK_S_MAX):
            async with asyncio.timeout(_CHECK_S_MAX):
                await check()
    except Exception as error:  # noqa: BLE001  whatever it is, the dependency does not answer
        return str(error) or type(error).__name__
    return ""


async def _keep_running(name: str, work: Work) -> None:
    delay_s = _RESTART_S_MIN
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await work()
        except Exception:
            log.exception("background work failed", work=name)
        else:
            return
        if loop.time() - started > _RESTART_S_MAX:
            delay_s = _RESTART_S_MIN
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, _RESTART_S_MAX)


def _stop_event() -> asyncio.Event:
    """Return the event that the process' first SIGTERM or SIGINT sets, one for all its servers."""
    loop = asyncio.get_running_loop()
    event = _stops.get(loop)
    if event is None:
        event = _stops[loop] = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, event.set)
    return event
