"""The life of a server: health, shedding, drain, ports."""

import asyncio
import json
import os
import re
import signal
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.chassis import config, server, status

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


class Gated:
    """Calls of Greet and Report wait until the gate is opened."""

    def __init__(self, contract):
        self._contract = contract
        self.gate = asyncio.Event()
        self.entered = 0

    async def Echo(self, request, context):
        return self._contract.Response()

    async def Greet(self, request, context):
        self.entered += 1
        await self.gate.wait()
        return self._contract.Response()

    Report = Greet

    async def Count(self, request, context):
        yield self._contract.Response()

    async def Sum(self, requests, context):
        return self._contract.Response()

    async def Tally(self, requests, context):
        yield self._contract.Response()


async def _health(channel, name):
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def test_calls_beyond_the_limit_are_shed_with_a_delay(contract, serve, connect, eventually):
    """Overload is an answer within milliseconds, and it says when to come back."""
    servicer = Gated(contract)
    made = await serve(servicer, concurrency_limit=4, queue_ms_max=30)
    greet = contract.stub(await connect(made), "Greet")
    calls = [asyncio.create_task(greet(contract.Request())) for _ in range(20)]
    await eventually(lambda: sum(call.done() for call in calls) == 16)
    shed: list[Any] = [call.exception() for call in calls if call.done()]
    servicer.gate.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert servicer.entered == 4
    for error in shed:
        assert status.read(error).reason == "OVERLOADED"
        metadata = dict(error.trailing_metadata())
        assert metadata["grpc-retry-pushback-ms"] == "250"
        details = status_pb2.Status.FromString(metadata[status.METADATA_KEY]).details
        assert any(item.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for item in details)


async def test_server_recovers_after_overload(contract, serve, connect, eventually):
    """Shedding leaks no place."""
    servicer = Gated(contract)
    made = await serve(servicer, concurrency_limit=2, queue_ms_max=10)
    greet = contract.stub(await connect(made), "Greet")
    calls = [asyncio.create_task(greet(contract.Request())) for _ in range(10)]
    await eventually(lambda: sum(call.done() for call in calls) == 8)
    servicer.gate.set()
    await asyncio.gather(*calls, return_exceptions=True)
    for _ in range(3):
        await asyncio.gather(*(greet(contract.Request()) for _ in range(2)))


async def test_reports_are_shed_before_checkouts(contract, serve, connect, eventually):
    """Low priority leaves half of the places to the others."""
    servicer = Gated(contract)
    made = await serve(servicer, low_priority={"Report"}, concurrency_limit=4)
    channel = await connect(made)
    report, greet = contract.stub(channel, "Report"), contract.stub(channel, "Greet")
    reports = [asyncio.create_task(report(contract.Request())) for _ in range(4)]
    await eventually(lambda: sum(call.done() for call in reports) == 2)
    checkouts = [asyncio.create_task(greet(contract.Request())) for _ in range(2)]
    await eventually(lambda: servicer.entered == 4)
    servicer.gate.set()
    await asyncio.gather(*checkouts)


async def test_health_follows_the_dependencies(contract, serve, eventually, monkeypatch):
    """A role that cannot work says so, under every name that a probe may ask for."""
    monkeypatch.setattr(server, "_CHECK_EVERY_S", 0.02)
    away = False

    async def ping():
        if away:
            raise OSError("gone")

    made = await serve(Gated(contract), checks={"postgresql": ping})
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.port}") as channel:
        names = ("", "readiness", contract.service.full_name)
        assert [await _health(channel, name) for name in names] == ["SERVING"] * 3
        away = True

        async def is_down():
            return [await _health(channel, name) for name in names] == ["NOT_SERVING"] * 3

        await eventually(is_down)
        assert await _health(channel, "liveness") == "SERVING"
        away = False

        async def is_up():
            return await _health(channel, "readiness") == "SERVING"

        await eventually(is_up)


async def test_reflection_lists_the_service(contract, serve):
    """Tools that explore find the contract."""
    made = await serve(Gated(contract))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.port}") as channel:
        stub: Any = cast("Any", reflection_pb2_grpc).ServerReflectionStub(channel)
        request = cast("Any", reflection_pb2).ServerReflectionRequest(list_services="")
        answers = [a async for a in stub.ServerReflectionInfo(iter([request]))]
    names = {item.name for item in answers[0].list_services_response.service}
    assert contract.service.full_name in names


async def test_port_that_is_taken_stops_the_start(contract, serve):
    """Two servers never share a port by accident."""
    first = await serve(Gated(contract))
    with pytest.raises(config.ConfigError, match="taken"):
        await serve(Gated(contract), port=first.port)
    with pytest.raises(config.ConfigError, match="metrics_port"):
        await serve(Gated(contract), metrics_port=first.metrics_port)


async def test_metrics_have_a_port_of_their_own(contract, serve):
    """The scrape sees every outcome from the start."""
    made = await serve(Gated(contract))
    url = f"http://127.0.0.1:{made.metrics_port}/metrics"
    page = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    assert 'grpc_server_handled_total{grpc_code="INTERNAL",grpc_method="Echo"' in page
    assert "grpc_server_handling_seconds_bucket" in page
    assert "grpc_server_in_flight" in page


async def test_servicer_must_fit_its_contract(contract):
    """A method that was forgotten is found before the first call."""
    made = server.Server("test", config.ServerSettings(port=0, metrics_port=0), verifier=None)
    with pytest.raises(ValueError, match="lacks the method Echo"):
        made.add(object(), contract.service)
    with pytest.raises(ValueError, match="no method Nothing"):
        made.add(Gated(contract), contract.service, low_priority={"Nothing"})


async def test_background_work_is_started_again_when_it_fails(issuer, eventually):
    """A crash of a relay does not end the relaying."""
    runs = []

    async def work():
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError("oops")
        await asyncio.Event().wait()

    settings = config.ServerSettings(port=0, metrics_port=0)
    made = server.Server("test", settings, verifier=issuer.verifier())
    made.background("work", work)
    await made.start()
    await eventually(lambda: len(runs) == 3)
    await made.stop()


@dataclass
class Running:
    """A server in a process of its own, and a plain channel to it."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel
    metrics_port: int

    def _in_flight(self) -> int:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        page = urllib.request.urlopen(url).read().decode()
        found = re.search(r'grpc_server_in_flight{role="drain"} (\d+)', page)
        return int(found[1]) if found else 0

    async def is_busy(self) -> bool:
        """Tell whether a call is being worked on."""
        return await asyncio.to_thread(self._in_flight) > 0


@pytest.fixture
async def running(image):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        HERE / "drain_process.py",
        image,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
    )
    assert process.stdout is not None
    port, metrics_port = (await process.stdout.readline()).decode().split()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Running(process, channel, int(metrics_port))
    if process.returncode is None:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_lets_calls_in_flight_finish(contract, running, number, eventually):
    """SIGTERM loses nobody's answer, takes nobody new, and ends with exit code 0."""
    echo = contract.stub(running.channel, "Echo")
    slow = echo(contract.Request(text="slow", count=30), timeout=12)
    await eventually(running.is_busy)
    running.process.send_signal(number)
    await eventually(lambda: _is_turned_away(echo(contract.Request(text="late"), timeout=2)))
    assert not slow.done()
    assert (await slow).text == "slow"
    async with asyncio.timeout(5):
        output, log = await running.process.communicate()
    assert running.process.returncode == 0
    assert output == b"closed\n"
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["event"] for event in events] == ["serving", "draining", "call", "stopped"]
    assert events[1]["in_flight"] >= 1
    assert all(event["role"] == "drain" for event in events)


async def _is_turned_away(call):
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


async def test_drain_has_an_end(contract, running, eventually):
    """A call that never ends is cut off after drain_s."""
    echo = contract.stub(running.channel, "Echo")
    endless = echo(contract.Request(count=100), timeout=30)
    await eventually(running.is_busy)
    running.process.terminate()
    async with asyncio.timeout(9):
        await running.process.wait()
    assert running.process.returncode == 0
    with pytest.raises(grpc.aio.AioRpcError):
        await endless
