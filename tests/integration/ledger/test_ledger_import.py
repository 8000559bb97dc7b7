"""The command that imports files: resumed after a cut, nothing twice, refused rows with reasons."""

import grpc
import pytest
from tessera.ledger.v1 import upload_service_pb2_grpc

from services.chassis import ids
from tests.integration.ledger.conftest import account
from tools.ledger import importing
from tools.ledger.transfers import Source


async def nobody():
    return ""


class Cut:
    """A stub whose stream is cut after some answers, once."""

    def __init__(self, stub, after, code=grpc.StatusCode.UNAVAILABLE):
        self._stub = stub
        self._after = after
        self._code = code
        self.streams = 0

    def __getattr__(self, name):
        return getattr(self._stub, name)

    def UploadTransfers(self, *arguments, **options):
        self.streams += 1
        call = self._stub.UploadTransfers(*arguments, **options)
        return self._cut(call) if self.streams == 1 else call

    async def _cut(self, call):
        answers = 0
        async for answer in call:
            yield answer
            answers += 1
            if answers == self._after:
                call.cancel()
                raise grpc.aio.AioRpcError(self._code, grpc.aio.Metadata(), grpc.aio.Metadata())


@pytest.fixture
async def stub(ledger):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        yield upload_service_pb2_grpc.UploadServiceStub(channel)


def table(tmp_path, rows):
    path = tmp_path / f"{ids.new('file')}.csv"
    lines = ["asset_code,debit,credit,amount,reason", *rows]
    path.write_text("\n".join(lines) + "\n")
    source = Source(path)
    source.scan()
    return source


async def test_file_is_imported_once_however_often_it_is_run(ledger, stub, tmp_path):
    """Rows of one member add up to what the file says; refused ones are told by their line."""
    anna = ids.new("mem")
    rows = [f"coins,world:issuance,member:{anna},2,fund"] * 300
    rows[10] = f"coins,member:{ids.new('mem')},world:redemption,1,redeem"
    rows[20] = f"coins,world:issuance,member:{anna},none,fund"
    source = table(tmp_path, rows)
    for _ in range(2):
        seen: list[int] = []
        importer = importing.Importer(stub, source, authorize=nobody)
        upload = await importer.run(label="", operator_id="olga", notice=seen.append)
        assert (upload.posted_count, upload.refused_count, seen[-1]) == (298, 1, 299)
        refused = await importer.refused(upload)
        assert [(one.line, one.reason) for one in refused] == [
            (12, "INSUFFICIENT_FUNDS"),
            (22, "INVALID_ROW"),
        ]
    assert await ledger.truth(account(anna, "coins")) == 2 * 298
    again = importing.Importer(stub, source, authorize=nobody)
    await again.run(label="once more", operator_id="", notice=seen.append)
    assert await ledger.truth(account(anna, "coins")) == 4 * 298


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
async def test_cut_stream_goes_on_by_itself(ledger, stub, tmp_path, code):
    """A gateway that restarts costs a pause and no row, whatever gRPC calls it."""
    members = [ids.new("mem") for _ in range(9000)]
    source = table(tmp_path, [f"coins,world:issuance,member:{one},1,fund" for one in members])
    cut = Cut(stub, after=1, code=code)
    importer = importing.Importer(cut, source, authorize=nobody)
    upload = await importer.run(label="", operator_id="", notice=lambda _: None)
    assert (upload.next_row, upload.posted_count) == (9000, 9000)
    assert cut.streams == 2
    for member in (members[0], members[7999], members[8000], members[8999]):
        assert await ledger.truth(account(member, "coins")) == 1


async def test_file_that_takes_many_streams_is_sent_to_its_end(ledger, stub, tmp_path, monkeypatch):
    """Streams are closed in time, and each begins where the one before it ended."""
    monkeypatch.setattr(importing, "_STREAM_S", -1)
    monkeypatch.setattr(importing, "_ROWS_MAX", 400)
    anna = ids.new("mem")
    source = table(tmp_path, [f"coins,world:issuance,member:{anna},1,fund"] * 1700)
    seen: list[int] = []
    importer = importing.Importer(stub, source, authorize=nobody)
    upload = await importer.run(label="", operator_id="", notice=seen.append)
    assert upload.posted_count == 1700
    assert sorted(set(seen)) == [0, 400, 800, 1200, 1600, 1700]
    assert await ledger.truth(account(anna, "coins")) == 1700


async def test_refusal_of_the_upload_ends_the_import(stub, tmp_path):
    """What another try would not change is told at once."""
    source = table(tmp_path, ["coins,world:issuance,member:mem_1,1,fund"])
    importer = importing.Importer(stub, source, authorize=nobody)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await importer.run(label="x" * 300, operator_id="", notice=lambda _: None)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
