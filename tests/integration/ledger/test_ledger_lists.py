"""Statements, lots and assets, page by page."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import grpc
import pytest
from tessera.ledger.v1 import account_pb2, asset_pb2, ledger_service_pb2

from services.chassis import status, timestamps
from tests.integration.ledger.conftest import move, undo, world

pb = ledger_service_pb2
START = datetime(2020, 1, 1, tzinfo=UTC)


async def _pages(call, request, field):
    """Return all pages of a list."""
    pages = []
    while True:
        response = await call(request)
        pages.append(list(getattr(response, field)))
        if not response.next_page_token:
            return pages
        request.page_token = response.next_page_token


async def test_a_statement_pages_back_with_the_running_balance(ledger):
    """Newest first, every line starts where the older one ended."""
    anna = ledger.member()
    amounts = [10, 20, -5, 30, -25, 7, -1]
    for amount in amounts:
        if amount > 0:
            await ledger.earn(anna, amount)
        else:
            await ledger.spend(anna, -amount, reason=account_pb2.TRANSFER_REASON_REDEEM)
    request = pb.ListEntriesRequest(account=anna, page_size=3)
    pages = await _pages(ledger.stub.ListEntries, request, "entries")
    assert [len(page) for page in pages] == [3, 3, 1]
    entries = [entry for page in pages for entry in page]
    assert [entry.amount for entry in entries] == amounts[::-1]
    for newer, older in pairwise(entries):
        assert newer.balance_before == older.balance_after
        assert newer.version == older.version + 1
    assert entries[-1].balance_before == 0


async def test_a_line_tells_why_and_from_whom(ledger):
    """Receipt, campaign, reason, counterparty and both times."""
    anna = ledger.member()
    operation = move(
        world(), anna, 10, reason=account_pb2.TRANSFER_REASON_ADJUST, campaign_id="cmp_spring"
    )
    occurred = timestamps.show(ledger.now() - timedelta(days=2))
    result = await ledger.post(operation, receipt_id="rcp_1", occurred_time=occurred)
    entry = (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries[0]
    assert entry == account_pb2.Entry(
        account=anna,
        batch_id=result.batch_id,
        operation_index=0,
        amount=10,
        balance_before=0,
        balance_after=10,
        version=1,
        reason=account_pb2.TRANSFER_REASON_ADJUST,
        receipt_id="rcp_1",
        campaign_id="cmp_spring",
        counterparty=world().owner,
        occurred_time=occurred,
        record_time=result.record_time,
    )
    back = await ledger.post(undo(result, 4))
    entry = (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries[0]
    assert (entry.reason, entry.amount, entry.batch_id, entry.campaign_id) == (
        account_pb2.TRANSFER_REASON_REVERSE,
        -4,
        back.batch_id,
        "cmp_spring",
    )


async def test_a_statement_of_a_span_has_only_what_was_recorded_in_it(ledger):
    """The start belongs to it, the end does not."""
    anna = ledger.member()
    times = [(await ledger.earn(anna, amount)).record_time for amount in (1, 2, 3)]
    request = pb.ListEntriesRequest(account=anna, from_time=times[1], until_time=times[2])
    entries = (await ledger.stub.ListEntries(request)).entries
    assert [entry.amount for entry in entries] == [2]


async def test_an_unused_account_has_an_empty_statement(ledger):
    """And no lots."""
    anna = ledger.member()
    assert not (await ledger.stub.ListEntries(pb.ListEntriesRequest(account=anna))).entries
    assert not (await ledger.stub.ListLots(pb.ListLotsRequest(account=anna))).lots


async def test_lots_page_in_the_order_in_which_they_are_spent(ledger):
    """Earliest expiry first, never last; what is spent is not listed, what is pending is."""
    anna = ledger.member()
    now = ledger.now()
    for amount, days in ((1, 30), (2, None), (3, 10), (4, 20), (5, None), (6, 10)):
        terms = {"lot_expire_time": timestamps.show(now + timedelta(days=days))} if days else {}
        await ledger.earn(anna, amount, **terms)
    await ledger.earn(anna, 7, lot_activate_time=timestamps.show(now + timedelta(days=5)))
    await ledger.spend(anna, 4)
    request = pb.ListLotsRequest(account=anna, page_size=2)
    pages = await _pages(ledger.stub.ListLots, request, "lots")
    assert [len(page) for page in pages] == [2, 2, 2]
    lots = [lot for page in pages for lot in page]
    assert [(lot.amount, lot.remaining) for lot in lots] == [
        (6, 5),
        (4, 4),
        (1, 1),
        (2, 2),
        (5, 5),
        (7, 7),
    ]
    assert [lot.HasField("expire_time") for lot in lots] == [True] * 3 + [False] * 3
    spent = (await ledger.spend(anna, 11)).operations[0].taken
    assert [part.lot_id for part in spent] == [lot.lot_id for lot in lots[:4]]


async def test_assets_page_by_code(ledger):
    """All of them, each once."""
    for number in range(7):
        await ledger.asset(f"stamp.set{number}", scale=1)
    pages = await _pages(ledger.stub.ListAssets, pb.ListAssetsRequest(page_size=3), "assets")
    codes = [asset.asset_code for page in pages for asset in page]
    assert codes == sorted(codes)
    assert {f"stamp.set{number}" for number in range(7)} <= set(codes)
    assert len(codes) == len(set(codes))
    stamp = next(a for page in pages for a in page if a.asset_code == "stamp.set3")
    assert stamp == asset_pb2.Asset(asset_code="stamp.set3", scale=1, create_time=stamp.create_time)


async def test_a_page_token_works_for_its_own_list_alone(ledger):
    """Not for another account, another filter, another list, and not cut short."""
    anna, boris = ledger.member(), ledger.member()
    for amount in (1, 2, 3):
        await ledger.earn(anna, amount)
    request = pb.ListEntriesRequest(account=anna, page_size=1)
    token = (await ledger.stub.ListEntries(request)).next_page_token
    stub = ledger.stub
    calls = [
        stub.ListEntries(pb.ListEntriesRequest(account=boris, page_token=token)),
        stub.ListEntries(
            pb.ListEntriesRequest(account=anna, page_token=token, from_time=timestamps.show(START))
        ),
        stub.ListLots(pb.ListLotsRequest(account=anna, page_token=token)),
        stub.ListAssets(pb.ListAssetsRequest(page_token=token)),
        stub.ListEntries(pb.ListEntriesRequest(account=anna, page_token=token[:-3])),
        stub.ListEntries(pb.ListEntriesRequest(account=anna, page_token=token + "AAAA")),
        stub.ListLots(pb.ListLotsRequest(account=anna, page_token="é" * 10)),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert status.read(caught.value).reason == "PAGE_TOKEN_INVALID"
