"""The way of every call: measured, admitted, bounded, authenticated, validated, answered.

Each method is wrapped once at start-up. One plain wrapper and not a chain of interceptors, because
every interceptor of grpc.aio costs each call another task and another handler.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import grpc
import protovalidate
import structlog
from google.protobuf import descriptor, message
from opentelemetry.trace import SpanKind

from services.chassis import (
    auth,
    config,
    contracts,
    deadlines,
    errors,
    limits,
    measures,
    status,
    telemetry,
    validation,
)

Context = grpc.aio.ServicerContext[Any, Any]
#: A method of a servicer: a coroutine function, or an async generator when it streams answers. It
#: gets the request, a function that reads it, or an async iterator of those that it streams.
Behaviour = Callable[[Any, Context], Any]

_OK = 0
_UNKNOWN = errors.Category.UNKNOWN.value
_CODES = {code.value[0]: code for code in grpc.StatusCode}
#: Outcomes that are the service's fault, or look so from outside; the others are the caller's.
_FAULTS = frozenset(
    {
        _UNKNOWN,
        errors.Category.DEADLINE_EXCEEDED.value,
        errors.Category.UNIMPLEMENTED.value,
        errors.Category.INTERNAL.value,
        errors.Category.UNAVAILABLE.value,
        errors.Category.DATA_LOSS.value,
    }
)

_BEARER = "Bearer "
_READS_LATE = "reads_late"
_Servicer = TypeVar("_Servicer")
_Request = TypeVar("_Request", bound=message.Message)
_Response = TypeVar("_Response")

log = structlog.get_logger()


def reads_late(
    behaviour: Callable[[_Servicer, Callable[[], _Request], Context], _Response],
) -> Callable[[_Servicer, _Request, Context], _Response]:
    """Mark a method that gets a function which returns the request, or raises InvalidRequest.

    For methods that serve many calls in one go. To read a hundred requests one after the other
    costs a third of reading each when it comes, between the work of others: what parsing and
    validation need is then in the processor's caches.
    """
    setattr(behaviour, _READS_LATE, True)
    return cast("Callable[[_Servicer, _Request, Context], _Response]", behaviour)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What all methods of a server share."""

    settings: config.ServerSettings
    verifier: auth.Verifier | None
    limiter: limits.Limiter
    validator: protovalidate.Validator


def compose(
    method: descriptor.MethodDescriptor,
    behaviour: Behaviour,
    gate: Gate,
    *,
    low_priority: bool = False,
) -> "grpc.RpcMethodHandler[Any, Any]":
    """Return the handler of one method with everything around it.

    Raises ValueError when the contract gives the method no permission; protovalidate's
    CompilationError when a validation rule of the request makes no sense.
    """
    call = _Method(method, behaviour, gate, low_priority=low_priority)
    # No serializers: the bytes are parsed behind the admission, inside our own error handling.
    if method.client_streaming and method.server_streaming:
        return grpc.stream_stream_rpc_method_handler(call.stream)
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(call.answer)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(call.stream)
    return grpc.unary_unary_rpc_method_handler(call.answer)


class _Method:
    """One method of one server. Whatever can be looked up beforehand is an attribute."""

    def __init__(
        self,
        method: descriptor.MethodDescriptor,
        behaviour: Behaviour,
        gate: Gate,
        *,
        low_priority: bool,
    ) -> None:
        service, settings = method.containing_service.full_name, gate.settings
        self._path = f"/{service}/{method.name}"
        self._behaviour = behaviour
        self._verifier = gate.verifier
        self._limiter = gate.limiter
        self._low_priority = low_priority
        self._scope = contracts.scope(method)
        self._read = validation.reader(method.input_type, gate.validator)
        self._streams_requests = method.client_streaming
        self._reads_late = getattr(behaviour, _READS_LATE, False)
        self._floor_s = settings.deadline_floor_ms / 1000
        self._default_s = contracts.timeout_s(service, method.name)
        self._measure = measures.method(service, method.name)
        self._logs_all = settings.access_log == "all"
        self._logs_faults = settings.access_log != "none"
        self._slow_s = settings.slow_ms / 1000
        self._is_traced = telemetry.is_tracing()

    async def answer(self, data: Any, context: Context) -> bytes:
        """Serve a call that has one response."""
        started = time.perf_counter()
        code = _OK
        try:
            authorization = _receive(context)
            if not self._limiter.try_enter(low_priority=self._low_priority):
                await self._limiter.enter(low_priority=self._low_priority)
            try:
                limit_s = self._start_clock(context)
                if not self._recognise(authorization):
                    await self._authenticate(authorization)
                request = self._take(data, context)
                # At the caller's own deadline grpc itself cancels the call.
                if limit_s is None and not self._is_traced:
                    response = await self._behaviour(request, context)
                else:
                    response = await self._watched(request, context, limit_s)
                return cast("bytes", response.SerializeToString())
            finally:
                self._limiter.leave()
        except BaseException as error:
            code, refusal = self._judge(error, context)
            await _abort(refusal, context)
            raise
        finally:
            self._finish(code, time.perf_counter() - started)

    async def stream(self, data: Any, context: Context) -> AsyncIterator[bytes]:
        """Serve a call that has any number of responses."""
        started = time.perf_counter()
        code = _OK
        try:
            authorization = _receive(context)
            await self._limiter.enter(low_priority=self._low_priority)
            try:
                limit_s = self._start_clock(context)
                if not self._recognise(authorization):
                    await self._authenticate(authorization)
                async with asyncio.timeout(limit_s):
                    async for response in self._behaviour(self._take(data, context), context):
                        yield response.SerializeToString()
            finally:
                self._limiter.leave()
        except BaseException as error:
            code, refusal = self._judge(error, context)
            await _abort(refusal, context)
            raise
        finally:
            self._finish(code, time.perf_counter() - started)

    def _start_clock(self, context: Context) -> float | None:
        """Note the call's deadline; return the limit to enforce ourselves when it has none."""
        left = cast("float | None", context.time_remaining())
        if left is None:
            deadlines.begin(self._default_s)
            return self._default_s
        if left < self._floor_s:
            raise errors.DeadlineTooShort(
                remaining_ms=int(left * 1000), needed_ms=int(self._floor_s * 1000)
            )
        deadlines.begin(left)
        return None

    def _recognise(self, authorization: str) -> bool:
        """Tell whether nothing about the caller has to be checked, or asked, any more."""
        if self._scope is None or self._verifier is None:
            auth.begin(auth.ANONYMOUS, authorization=authorization)
            return True
        if not authorization.startswith(_BEARER):
            return False
        caller = self._verifier.recall(authorization[len(_BEARER) :])
        if caller is None or self._scope not in caller.scopes:
            return False
        auth.begin(caller, authorization=authorization)
        return True

    async def _authenticate(self, authorization: str) -> None:
        assert self._verifier is not None
        assert self._scope is not None
        if authorization[: len(_BEARER)].lower() != _BEARER.lower():
            raise errors.Unauthenticated(problem="there is none")
        caller = await self._verifier.verify(authorization[len(_BEARER) :])
        if self._scope not in caller.scopes:
            raise errors.PermissionDenied(scope=self._scope)
        auth.begin(caller, authorization=authorization)

    def _take(self, sent: Any, context: Context) -> Any:
        if self._reads_late:
            return partial(self._read, sent)
        return self._read_each(sent, context) if self._streams_requests else self._read(sent)

    async def _read_each(
        self, pieces: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[message.Message]:
        """Yield the requests of a stream as they come; one that breaks a rule ends the call."""
        async for data in pieces:
            yield self._read(data)
        # To grpc.aio a caller who hangs up looks like one who has said everything.
        await asyncio.sleep(0)
        if context.cancelled():
            raise asyncio.CancelledError

    async def _watched(
        self, request: Any, context: Context, limit_s: float | None
    ) -> message.Message:
        """Answer within a limit of our own, and as part of a trace."""
        async with AsyncExitStack() as around:
            if self._is_traced:
                recorded = telemetry.span(self._path, SpanKind.SERVER, {"rpc.system": "grpc"})
                around.enter_context(recorded)
            await around.enter_async_context(asyncio.timeout(limit_s))
            return cast("message.Message", await self._behaviour(request, context))

    def _judge(self, error: BaseException, context: Context) -> tuple[int, errors.Refusal | None]:
        """Return the outcome of a failed call and, unless it is already told, what to tell."""
        if isinstance(error, grpc.aio.AbortError):
            code = context.code()
            return (code.value[0] if isinstance(code, grpc.StatusCode) else int(code)), None
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            is_late = (deadlines.remaining() or 1) <= 0
            end = errors.Category.DEADLINE_EXCEEDED if is_late else errors.Category.CANCELLED
            return end.value, None
        if not isinstance(error, Exception):
            return _UNKNOWN, None
        refusal = status.explain(error)
        if refusal is None:
            log.error("call failed", method=self._path, exc_info=error)
            refusal = errors.Internal()
        return refusal.category.value, refusal

    def _finish(self, code: int, seconds: float) -> None:
        self._measure.add(code, seconds)
        if self._logs_all or (self._logs_faults and (code in _FAULTS or seconds > self._slow_s)):
            write = log.warning if code in _FAULTS else log.info
            write(
                "call",
                method=self._path,
                code=_CODES[code].name,
                client_id=auth.caller_id(),
                duration_ms=round(seconds * 1000, 1),
            )


def _receive(context: Context) -> str:
    """Take over trace and request id from the metadata; return the authorization."""
    authorization = trace_parent = request_id = ""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            authorization = str(value)
        elif key == "traceparent":
            trace_parent = str(value)
        elif key == "x-request-id":
            request_id = str(value)
    telemetry.begin(trace_parent, request_id)
    return authorization


async def _abort(refusal: errors.Refusal | None, context: Context) -> None:
    """End the call with a refusal, if there is one to tell; does not return then."""
    if refusal is None:
        return
    metadata: list[tuple[str, str | bytes]] = [
        (status.METADATA_KEY, status.encode(refusal).SerializeToString())
    ]
    if refusal.retry_delay_ms is not None:
        metadata.append(("grpc-retry-pushback-ms", str(refusal.retry_delay_ms)))
    code = _CODES[refusal.category]
    await context.abort(code, status.short(refusal.message), trailing_metadata=tuple(metadata))
