"""Transfers in bulk: what is durable is said, what comes again counts once, nothing is lost."""

import asyncio

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    batch_pb2,
    error_reason_pb2,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

from services.chassis import ids, status, timestamps
from tests.integration.ledger.conftest import move, running, world

pb = upload_service_pb2


@pytest.fixture
async def uploads(ledger):
    """Return the stub of the upload service."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        yield upload_service_pb2_grpc.UploadServiceStub(channel)


async def begin(uploads, ledger, **fields):
    fields.setdefault("upload_id", ids.new("upl"))
    fields.setdefault("occurred_time", timestamps.show(ledger.now()))
    return (await uploads.CreateUpload(pb.CreateUploadRequest(**fields))).upload


def piece(upload, first_row, *operations):
    transfers = [operation.transfer for operation in operations]
    return pb.UploadTransfersRequest(
        upload_id=upload.upload_id, first_row=first_row, transfers=transfers
    )


async def send(uploads, *pieces):
    return [answer async for answer in uploads.UploadTransfers(iter(pieces))]


async def refused(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return status.read(caught.value)


def bonus(ledger, count, asset="points"):
    accounts = [ledger.member(asset) for _ in range(count)]
    return accounts, [move(world(asset), account, 10) for account in accounts]


async def test_rows_are_posted_and_the_refused_ones_are_told_with_reasons(uploads, ledger):
    """Each row stands for itself; refusals come with the piece and are listed later."""
    upload = await begin(uploads, ledger, operator_id="olga", label="spring")
    accounts, rows = bonus(ledger, 300)
    rows[7] = move(accounts[7], world(), 1)
    rows[250] = move(world("ghosts"), ledger.member("ghosts"), 1)
    (answer,) = await send(uploads, piece(upload, 0, *rows))
    assert [one.row for one in answer.refusals] == [7, 250]
    assert [one.refusal.reason for one in answer.refusals] == [
        error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS,
        error_reason_pb2.ERROR_REASON_ASSET_NOT_FOUND,
    ]
    assert answer.refusals[0].refusal.metadata["required"] == "1"
    told = answer.upload
    assert (told.next_row, told.posted_count, told.refused_count) == (300, 298, 2)
    assert await ledger.available(accounts[299]) == 10
    assert (await ledger.truth(accounts[7]), await ledger.truth(accounts[8])) == (0, 10)
    assert (told.operator_id, told.label) == ("olga", "spring")
    page = await uploads.ListUploadRefusals(
        pb.ListUploadRefusalsRequest(upload_id=upload.upload_id, page_size=1)
    )
    rest = await uploads.ListUploadRefusals(
        pb.ListUploadRefusalsRequest(
            upload_id=upload.upload_id, page_size=1, page_token=page.next_page_token
        )
    )
    assert [one.row for one in (*page.refusals, *rest.refusals)] == [7, 250]
    assert rest.next_page_token == ""


async def test_pieces_of_a_stream_are_answered_one_by_one(uploads, ledger):
    """What is durable is known while the stream is still open."""
    upload = await begin(uploads, ledger)
    accounts, rows = bonus(ledger, 1400, "coins")
    call = uploads.UploadTransfers()
    await call.write(piece(upload, 0, *rows[:1200]))
    assert (await call.read()).upload.next_row == 1200
    assert await ledger.truth(accounts[1199]) == 10
    await call.write(piece(upload, 1200, *rows[1200:]))
    assert (await call.read()).upload.next_row == 1400
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_pieces_that_come_again_move_nothing_more(uploads, ledger):
    """A client whose stream was cut sends what it saw no answer to."""
    upload = await begin(uploads, ledger)
    accounts, rows = bonus(ledger, 450)
    rows[3] = move(accounts[3], world(), 1)
    (first,) = await send(uploads, piece(upload, 0, *rows))
    (again,) = await send(uploads, piece(upload, 0, *rows))
    (part,) = await send(uploads, piece(upload, 200, *rows[200:]))
    assert first.upload.next_row == again.upload.next_row == part.upload.next_row == 450
    assert again.upload.posted_count == 449
    assert [one.row for one in again.refusals] == [3]
    assert await ledger.truth(accounts[200]) == 10
    found = await begin(
        uploads, ledger, upload_id=upload.upload_id, occurred_time=upload.occurred_time
    )
    assert (found.next_row, found.refused_count) == (450, 1)


async def test_cut_stream_goes_on_where_the_ledger_stands(uploads, ledger):
    """Whatever moment the cut comes at, every row counts once in the end."""
    upload = await begin(uploads, ledger)
    accounts, rows = bonus(ledger, 2000, "coins")
    call = uploads.UploadTransfers()
    await call.write(piece(upload, 0, *rows[:1000]))
    await call.write(piece(upload, 1000, *rows[1000:]))
    await call.read()
    call.cancel()
    while True:
        got = await uploads.GetUpload(pb.GetUploadRequest(upload_id=upload.upload_id))
        row = got.upload.next_row
        if row == len(rows):
            break
        await send(uploads, piece(upload, row, *rows[row : row + 600]))
    assert got.upload.posted_count == 2000
    assert await ledger.truth(accounts[0]) == await ledger.truth(accounts[1999]) == 10


async def test_rows_of_one_account_count_in_their_order(uploads, ledger):
    """What a thousand rows gave, the next thousand may spend, though lanes take turns."""
    upload = await begin(uploads, ledger)
    anna = ledger.member("coins")
    earned = [move(world("coins"), anna, 1)] * 1000
    spent = [move(anna, world("coins"), 1)] * 1000
    (answer,) = await send(uploads, piece(upload, 0, *earned, *spent, *earned, *spent))
    assert (answer.upload.posted_count, answer.upload.refused_count) == (4000, 0)
    assert await ledger.truth(anna) == 0


async def test_two_clients_at_the_same_rows_count_each_once(uploads, ledger):
    """Who is slower finds the rows done."""
    upload = await begin(uploads, ledger)
    accounts, rows = bonus(ledger, 1000)
    await asyncio.gather(*(send(uploads, piece(upload, 0, *rows)) for _ in range(3)))
    got = await uploads.GetUpload(pb.GetUploadRequest(upload_id=upload.upload_id))
    assert (got.upload.next_row, got.upload.posted_count) == (1000, 1000)
    assert await ledger.truth(accounts[500]) == 10


async def test_rows_with_other_contents_are_refused(uploads, ledger):
    """Another file under the same id would be half of each."""
    upload = await begin(uploads, ledger)
    _, rows = bonus(ledger, 201)
    await send(uploads, piece(upload, 0, *rows))
    rows[200].transfer.amount += 1
    answer = await refused(send(uploads, piece(upload, 0, *rows)))
    assert answer.reason == "UPLOAD_CONFLICT"
    assert answer.metadata == {"row": "200", "field": "operations[0].transfer.amount"}


async def test_rows_left_out_are_refused(uploads, ledger):
    """The answer says where to go on."""
    upload = await begin(uploads, ledger)
    _, rows = bonus(ledger, 1)
    answer = await refused(send(uploads, piece(upload, 200, *rows)))
    assert (answer.reason, answer.metadata) == ("UPLOAD_GAP", {"next_row": "0"})
    answer = await refused(send(uploads, piece(upload, 100, *rows)))
    assert answer.reason == "INVALID_REQUEST"


async def test_piece_that_is_no_multiple_is_the_last(uploads, ledger):
    """Rows that are missing in the middle would be missing for ever."""
    upload = await begin(uploads, ledger)
    _, rows = bonus(ledger, 350)
    await send(uploads, piece(upload, 0, *rows[:150]))
    answer = await refused(send(uploads, piece(upload, 200, *rows[200:])))
    assert (answer.reason, answer.metadata) == ("UPLOAD_GAP", {"next_row": "150"})
    answer = await refused(send(uploads, piece(upload, 0, *rows)))
    assert (answer.reason, answer.metadata["field"]) == ("UPLOAD_CONFLICT", "operations[150]")


async def test_upload_that_nobody_began_is_not_found(uploads, ledger):
    """Neither to send to, nor to read."""
    ghost = pb.Upload(upload_id=ids.new("upl"))
    _, rows = bonus(ledger, 1)
    calls = (
        send(uploads, piece(ghost, 0, *rows)),
        uploads.GetUpload(pb.GetUploadRequest(upload_id=ghost.upload_id)),
        uploads.ListUploadRefusals(pb.ListUploadRefusalsRequest(upload_id=ghost.upload_id)),
    )
    for call in calls:
        assert (await refused(call)).reason == "UPLOAD_NOT_FOUND"


async def test_upload_begun_with_other_properties_is_refused(uploads, ledger):
    """The answer names the first that differs."""
    upload = await begin(uploads, ledger, label="one")
    same = {"upload_id": upload.upload_id, "occurred_time": upload.occurred_time}
    answer = await refused(begin(uploads, ledger, **same, label="two"))
    assert (answer.reason, answer.metadata) == ("UPLOAD_CONFLICT", {"row": "-1", "field": "label"})


async def test_upload_from_the_future_is_refused(uploads, ledger):
    """All its batches would be."""
    occurred = timestamps.show(ledger.now())
    occurred.seconds += 3600
    answer = await refused(begin(uploads, ledger, occurred_time=occurred))
    assert answer.reason == "OCCURRED_IN_FUTURE"


async def test_page_token_of_another_upload_is_refused(uploads, ledger):
    """Tokens are of use for their own list alone."""
    upload = await begin(uploads, ledger)
    request = pb.ListUploadRefusalsRequest(upload_id=upload.upload_id, page_token="AAAA")
    assert (await refused(uploads.ListUploadRefusals(request))).reason == "PAGE_TOKEN_INVALID"


async def test_independent_batch_posts_what_it_can(ledger):
    """PostBatches takes independent operations too, and answers the same again."""
    anna, boris = ledger.member(), ledger.member()
    batch = ledger.batch(
        move(world(), anna, 5), move(boris, world(), 5), move(world(), boris, 6), independent=True
    )
    (result,) = await ledger.send(batch)
    assert result.state == batch_pb2.BATCH_STATE_POSTED
    assert [one.amount for one in result.operations] == [5, 0, 6]
    assert [one.HasField("refusal") for one in result.operations] == [False, True, False]
    assert result.operations[1].refusal.operation_index == 1
    assert not result.balances
    (again,) = await ledger.send(batch)
    assert again.replayed
    assert list(again.operations) == list(result.operations)
    assert (await ledger.truth(anna), await ledger.truth(boris)) == (5, 6)


async def test_tills_are_answered_while_an_upload_runs(ledger_database, valkey):
    """Bulk work goes in pieces between which everybody else comes through."""
    async with (
        running(ledger_database, valkey.url) as other,
        grpc.aio.insecure_channel(f"127.0.0.1:{other.port}") as channel,
    ):
        await other.asset("coins")
        uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        upload = await begin(uploads, other)
        accounts, rows = bonus(other, 8000, "coins")
        sending = asyncio.create_task(send(uploads, piece(upload, 0, *rows)))
        answered = 0
        while not sending.done():
            await other.earn(other.member("coins"), 1)
            answered += 1
        (answer,) = await sending
        assert answer.upload.posted_count == 8000
        assert answered >= 4
        owner = account_pb2.OWNER_TYPE_MEMBER
        assert accounts[0].owner.owner_type == owner
        assert await other.truth(accounts[7999]) == 10
