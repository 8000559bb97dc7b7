"""Behind the gateway: deadlines and retries as the contract says, and services that are away."""

import asyncio
import time
from typing import Any

import grpc
import pytest

ECHO = "/v1/probes:echo"
ONCE = "/v1/probes:once"


async def _sleep(*_: Any) -> None:
    await asyncio.sleep(60)


def _unavailable(times: int, then: Any, code: Any = grpc.StatusCode.UNAVAILABLE) -> Any:
    left = times

    async def answer(request: Any, context: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            await context.abort(code, "come back later")
        return await then(request, context)

    return answer


@pytest.mark.parametrize(
    ("name", "verb", "path", "limit_s"),
    [("GetProbe", "GET", "/v1/probes/a", 1.0), ("Once", "POST", ONCE, 2.0)],
)
async def test_timeout_of_the_contract_cuts_the_call(
    gateway, backend, token, refused, name, verb, path, limit_s
):
    """A call ends when its contract says so, whatever longer deadline the client has."""
    backend.behaviour = _sleep
    started = time.monotonic()
    with pytest.raises(refused) as caught:
        await gateway.call(name, token=token, timeout_s=30)
    assert limit_s - 0.1 < time.monotonic() - started < limit_s + 20
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    started = time.monotonic()
    answer = await gateway.send(verb, path, token=token)
    assert limit_s - 0.1 < time.monotonic() - started < limit_s + 20
    assert (answer.status, answer.json["code"]) == (504, 4)
    # On a machine that stalls, the service may be cut first, and cannot say why.
    assert not answer.json["details"] or answer.reason == "DEADLINE_EXCEEDED"


async def test_service_learns_the_deadline(gateway, backend, token):
    """The service knows how long it has: the contract's time, or less when the client says so."""
    await gateway.send("POST", ECHO, token=token, json={})
    await gateway.call("Echo", token=token, timeout_s=60)
    await gateway.call("Echo", token=token, timeout_s=2)
    left = [call.time_remaining_s for call in backend.calls]
    assert 3 < left[0] <= 5.1
    assert 3 < left[1] <= 5.1
    assert 0 < left[2] < 2.5


async def test_unavailable_is_retried_where_the_contract_says(gateway, backend, token):
    """Two failures and a success are a success, three attempts are the most."""
    backend.behaviour = _unavailable(2, backend.echo)
    assert (await gateway.send("POST", ECHO, token=token, json={})).status == 200
    assert len(backend.calls) == 3
    backend.calls.clear()
    backend.behaviour = _unavailable(100, backend.echo)
    answer = await gateway.send("POST", ECHO, token=token, json={})
    assert (answer.status, answer.json["code"]) == (503, 14)
    assert len(backend.calls) == 3


async def test_what_a_stopping_service_did_not_begin_is_retried(gateway, backend, token):
    """A server of gRPC that is told to stop ends calls that come meanwhile as CANCELLED."""
    backend.behaviour = _unavailable(1, backend.echo, grpc.StatusCode.CANCELLED)
    assert (await gateway.send("POST", ECHO, token=token, json={})).status == 200
    assert len(backend.calls) == 2


async def test_method_without_retry_policy_is_never_repeated(gateway, backend, token, refused):
    """What is not safe to repeat is sent once."""
    backend.behaviour = _unavailable(100, backend.echo)
    assert (await gateway.send("POST", ONCE, token=token, json={})).status == 503
    with pytest.raises(refused):
        await gateway.call("Once", token=token)
    assert len(backend.calls) == 2


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ],
)
async def test_other_failures_are_not_retried(gateway, backend, token, refused, code):
    """Only what the policy lists is repeated."""

    async def fail(_: Any, context: Any) -> None:
        await context.abort(code, "no")

    backend.behaviour = fail
    with pytest.raises(refused) as caught:
        await gateway.call("Echo", token=token)
    assert (caught.value.code, len(backend.calls)) == (code, 1)


async def test_service_that_is_away_is_unavailable(start, upstream, token, refused, eventually):
    """A dead service is 503 UNAVAILABLE that names it, quickly; and it is found again."""
    gateway = await start()
    await upstream.stop()
    try:
        started = time.monotonic()
        answer = await gateway.send("POST", ECHO, token=token, json={})
        assert (answer.status, answer.reason) == (503, "UNAVAILABLE")
        assert answer.detail("ErrorInfo")["metadata"] == {"dependency": "probe"}
        with pytest.raises(refused) as caught:
            await gateway.call("Once", token=token)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert caught.value.info.metadata["dependency"] == "probe"
        assert (await gateway.call_web("Echo", token=token))["grpc-status"] == "14"
        assert time.monotonic() - started < 5
    finally:
        await upstream.start()

    async def found() -> bool:
        answer = await gateway.send("POST", ECHO, token=token, json={})
        return bool(answer.status == 200)

    await eventually(found)


async def test_gateway_starts_before_its_services(start, upstream, token, eventually):
    """The order of starts does not matter."""
    await upstream.stop()
    try:
        gateway = await start()
        answer = await gateway.send("POST", ECHO, token=token, json={})
        assert (answer.status, answer.reason) == (503, "UNAVAILABLE")
    finally:
        await upstream.start()

    async def found() -> bool:
        answer = await gateway.send("POST", ECHO, token=token, json={})
        return bool(answer.status == 200)

    await eventually(found)


async def test_client_that_leaves_frees_the_service(gateway, backend, token, eventually):
    """A cancelled call is cancelled behind the gateway, too."""
    cancelled = asyncio.Event()

    async def wait(*_: Any) -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    backend.behaviour = wait
    task = asyncio.create_task(gateway.call("Echo", token=token, timeout_s=30))

    async def arrived() -> bool:
        return bool(backend.calls)

    await eventually(arrived)
    task.cancel()
    await asyncio.wait_for(cancelled.wait(), 3)  # the contract itself would cut it after 5 s
