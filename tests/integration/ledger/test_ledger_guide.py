"""What the guide tells people to send works as it stands, and comes to the numbers that it says."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import grpc
from google.protobuf import json_format
from tessera.ledger.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    batch_pb2,
    ledger_service_pb2,
)

from tests.integration.ledger.conftest import account, running

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "ledger.md"
ANA = "mem_0190c8a2f7d97c44a8d0b1f3e5a60001"


def _requests():
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"`POST (\S+)`\n\n```json\n(.*?)```", text, re.DOTALL)
    assert len(found) == text.count("```json")
    return [(path, json.loads(body)) for path, body in found]


async def test_the_guide_can_be_followed(database, valkey):
    """From the first asset to the last freeze, on the day on which it plays."""
    async with running(await database("ledger"), valkey.url) as ledger:
        ledger.now.ahead = datetime(2026, 3, 1, 10, 6, tzinfo=UTC) - datetime.now(UTC)
        results: dict[int, batch_pb2.BatchResult] = {}
        for path, body in _requests():
            await _send(ledger, path, body, results)
        assert {result.state for result in results.values()} == {batch_pb2.BATCH_STATE_POSTED}
        held, captured, refunded, clawed, paid = [results[number] for number in range(3, 8)]
        assert (held.balances[0].available, held.balances[0].held) == (50, 250)
        assert captured.operations[0].amount == 240
        assert refunded.balances[0].available == 160
        assert (clawed.operations[0].amount, clawed.operations[0].owed) == (160, 340)
        assert (paid.operations[0].paid_off, paid.balances[0].available) == (340, 60)
        refused = await ledger.spend(account(ANA, "guide_points"), 1)
        assert refused.state == batch_pb2.BATCH_STATE_REFUSED


async def _send(ledger, path, body, results):
    if path == "/v1/batches":
        request = json_format.ParseDict(body, ledger_service_pb2.PostBatchesRequest())
        for result in (await ledger.stub.PostBatches(request)).results:
            results[int(result.batch_id.removeprefix("bat_"), 16)] = result
    elif path == "/v1/assets":
        asset = json_format.ParseDict(body, ledger_service_pb2.CreateAssetRequest())
        await ledger.stub.CreateAsset(asset)
    else:
        assert path == "/v1/accounts:freeze"
        freeze = json_format.ParseDict(body, account_service_pb2.FreezeAccountRequest())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
            await account_service_pb2_grpc.AccountServiceStub(channel).FreezeAccount(freeze)
