"""The ledger as a process of its own."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tessera.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc

from services.chassis import errors, migrations, status
from tools.stack import ports

ROOT = Path(migrations.__file__).resolve().parents[2]


@pytest.fixture
async def process(ledger_database, valkey, tmp_path):
    """Run `python -m services ledger`; yields its address and the process."""
    port = ports.free()
    database = {name: str(value) for name, value in ledger_database.fields().items()}
    section = {
        "server": {"port": port, "metrics_port": 0, "drain_s": 2},
        "database": database,
        "hotstore": {"url": valkey.url},
    }
    file = tmp_path / "tessera.yaml"
    file.write_text(yaml.safe_dump({"ledger": section}))
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "ledger", "--config", str(file), cwd=ROOT
    )
    yield f"127.0.0.1:{port}", started
    if started.returncode is None:
        started.kill()
        await started.wait()


async def test_it_serves_until_it_is_told_to_stop(process):
    """Healthy, closed to callers without a token, and gone in good order."""
    address, started = process
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 30)
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service="readiness"))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListAssets(ledger_service_pb2.ListAssetsRequest())
        assert status.read(caught.value).category == errors.Category.UNAUTHENTICATED
    started.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(started.wait(), 20) == 0
