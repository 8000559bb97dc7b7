"""What a role tells about itself: one JSON line an event, and spans where a collector is named."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from services.chassis import telemetry

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def _logs(code, **settings):
    script = f"""
import logging
import structlog
from services.chassis import config, telemetry
telemetry.setup("till", config.TelemetrySettings(**{settings!r}))
log = structlog.get_logger()
{code}
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_logs_are_json_lines_with_role_and_trace():
    """Whoever searches the logs finds all lines of one call."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    (line,) = _logs(f"telemetry.begin({trace!r}, 'r-1')\nlog.warning('slow', duration_ms=7)")
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "slow",
        "level": "warning",
        "role": "till",
        "trace_id": "a" * 32,
        "request_id": "r-1",
        "duration_ms": 7,
    }


def test_exceptions_are_logged_whole_on_one_line():
    """A traceback does not tear the log apart."""
    (line,) = _logs("try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed')")
    assert "ZeroDivisionError: division by zero" in json.loads(line)["exception"]


def test_level_is_respected():
    """Debug lines cost nothing in production."""
    lines = _logs("log.info('a')\nlog.warning('b')", log_level="warning")
    assert [json.loads(line)["event"] for line in lines] == ["b"]


def test_warnings_of_libraries_come_in_the_same_form():
    """Not every line is ours, but every line can be parsed."""
    (line,) = _logs("logging.getLogger('lib').warning('careful %d', 3)")
    event = json.loads(line)
    assert (event["event"], event["level"], event["role"]) == ("careful 3", "warning", "till")


def test_console_format_is_for_people():
    """On a developer's screen."""
    (line,) = _logs("log.warning('hello')", log_format="console")
    assert "hello" in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)


class Collector(grpc.GenericRpcHandler):
    """An OpenTelemetry collector, as far as an exporter sees it."""

    def __init__(self):
        self.spans = []

    def service(self, handler_call_details):
        return grpc.unary_unary_rpc_method_handler(
            self.export,
            trace_service_pb2.ExportTraceServiceRequest.FromString,
            trace_service_pb2.ExportTraceServiceResponse.SerializeToString,
        )

    async def export(self, request, _context):
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()


async def test_spans_reach_the_collector_in_the_callers_trace(contract, image, eventually):
    """With an endpoint in the settings, every call is a span below the one of its caller."""
    collector = Collector()
    receiving = grpc.aio.server()
    receiving.add_generic_rpc_handlers((collector,))
    port = receiving.add_insecure_port("127.0.0.1:0")
    await receiving.start()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        HERE / "drain_process.py",
        image,
        f"http://127.0.0.1:{port}",
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
    )
    assert process.stdout is not None
    served, _ = (await process.stdout.readline()).decode().split()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served}") as channel:
        parent = f"00-{'a' * 32}-{'b' * 16}-01"
        echo = contract.stub(channel, "Echo")
        await echo(contract.Request(), metadata=(("traceparent", parent),))
        process.terminate()
        await process.wait()
    await eventually(lambda: collector.spans)
    await receiving.stop(0)
    (span,) = collector.spans
    assert span.name == "/chassis_test.v1.EchoService/Echo"
    assert span.trace_id.hex() == "a" * 32
    assert span.parent_span_id.hex() == "b" * 16


def test_trace_context_is_empty_outside_of_calls():
    """Nothing is made up."""
    assert telemetry.trace_parent() == ""
    assert telemetry.request_id() == ""
    assert not telemetry.is_tracing()
