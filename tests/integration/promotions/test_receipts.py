"""Receipts found again, decided again, made good."""

import secrets

import pytest
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    receipt_service_pb2,
    receipt_service_pb2_grpc,
)

from tests.integration.promotions import promises
from tests.integration.promotions.houses import (
    OTHER_STORE,
    cart_of,
    commit_of,
    line,
    stamp,
)

Search = receipt_service_pb2.SearchReceiptsRequest
Rerun = receipt_service_pb2.RerunReceiptRequest


@pytest.fixture(scope="module")
async def campaigns(house):
    return await house.publish(promises.earn(500), promises.percent_off(1000, "milk"))


@pytest.fixture
def desk(house):
    return receipt_service_pb2_grpc.ReceiptServiceStub(house.channel)


async def buy(house, *lines, **about):
    occurred = about.pop("occurred", None)
    cart = cart_of(*lines, **about)
    answer = await house.commit(commit_of(cart, await house.evaluate(cart), occurred=occurred))
    await house.settled(answer.receipt.receipt_id)
    return answer.receipt


async def search(house, desk, **fields):
    """Return the ids of all pages, two receipts a page."""
    request, found = Search(page_size=2, **fields), []
    while True:
        page = await house.call(desk.SearchReceipts, request)
        assert len(page.receipts) <= 2
        found += [one.receipt_id for one in page.receipts]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


def span(*, before=600, after=600):
    """Return times around now that are far enough away from it for slow machines."""
    return {"from_time": stamp(seconds=-before), "until_time": stamp(seconds=after)}


def milk(price):
    return line("1", "milk", price)


async def test_receipts_are_found_by_whatever_is_remembered(house, desk, campaigns):
    """Member, card, store, day, total, campaign: newest first, page by page."""
    member = await house.register()
    answer = await house.call(
        house.members.IssueCard,
        member_service_pb2.IssueCardRequest(
            request_id=secrets.token_hex(8), member_id=member, card_number=secrets.token_hex(8)
        ),
    )
    price = 1_000_000 + secrets.randbelow(10**6) * 10
    first = await buy(house, milk(price), member_id=member, occurred=stamp(seconds=-3_000))
    second = await buy(house, milk(price + 10), member_id=member, occurred=stamp(seconds=-2_000))
    third = await buy(house, milk(price + 20), member_id=member, store=OTHER_STORE)
    bread = await buy(house, line("1", "bread", price), member_id=member)
    mine = [bread, third, second, first]
    ids = [one.receipt_id for one in mine]
    by_id, by_card = (
        member_pb2.MemberKey(member_id=member),
        member_pb2.MemberKey(card_number=answer.card.card_number),
    )
    assert await search(house, desk, member_key=by_id) == ids
    assert await search(house, desk, member_key=by_card) == ids
    assert await search(house, desk, member_key=by_id, store_id=OTHER_STORE) == [ids[1]]
    total = second.evaluation.total_minor
    wide = span(before=4_000)
    assert await search(house, desk, **wide, total_min_minor=total, total_max_minor=total) == [
        second.receipt_id
    ]
    number = third.receipt_key.receipt_number
    assert await search(house, desk, **span(), receipt_number=number) == [third.receipt_id]
    assert await search(house, desk, member_key=by_id, till_id=third.receipt_key.till_id) == ids
    assert await search(house, desk, member_key=by_id, till_id="no such till") == []
    earning, percent = campaigns
    assert await search(house, desk, member_key=by_id, campaign_id=percent) == ids[1:]
    assert await search(house, desk, member_key=by_id, campaign_id=earning) == ids
    found = await search(house, desk, store_id=OTHER_STORE, **span())
    assert ids[1] in found
    assert ids[0] not in found
    assert await search(house, desk, member_key=by_id, **span(before=2_500, after=-1_500)) == [
        ids[2]
    ]
    (summary,) = (
        await house.call(desk.SearchReceipts, Search(member_key=by_id, store_id=OTHER_STORE))
    ).receipts
    assert summary == receipt_service_pb2.ReceiptSummary(
        receipt_id=third.receipt_id,
        receipt_key=third.receipt_key,
        state=checkout_pb2.RECEIPT_STATE_COMMITTED,
        member_id=member,
        occurred_time=third.occurred_time,
        record_time=third.record_time,
        currency_code="USD",
        total_minor=third.evaluation.total_minor,
        discount_minor=third.evaluation.discount_minor,
        points_earned=third.evaluation.points_earned,
        campaign_ids=summary.campaign_ids,
    )
    assert set(summary.campaign_ids) == {earning, percent}


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        (span(before=-60, after=-60), "search_receipts.span"),
        ({"total_min_minor": 2, "total_max_minor": 1}, "search_receipts.total"),
    ],
)
async def test_a_search_that_can_find_nothing_is_refused(house, desk, fields, rule):
    """An end before the beginning is a slip of whoever asks, and no empty answer."""
    key = member_pb2.MemberKey(member_id=await house.register())
    refusal = await house.refusal(desk.SearchReceipts, Search(member_key=key, **fields))
    assert refusal.reason == "INVALID_REQUEST"
    said = {"search_receipts.span": "until_time", "search_receipts.total": "total_max_minor"}[rule]
    assert said in refusal.metadata["problem"]


async def test_a_search_is_bounded(house, desk):
    """Not everything of all time, not with another list's token, not for a stranger."""
    for fields in ({}, {"store_id": "s1"}, span(before=101 * 86_400)):
        refusal = await house.refusal(desk.SearchReceipts, Search(**fields))
        assert refusal.reason == "INVALID_REQUEST"
    key = member_pb2.MemberKey(member_id=await house.register())
    for token in ("x", "cmVjZWlwdHM6MTp4"):
        refusal = await house.refusal(desk.SearchReceipts, Search(member_key=key, page_token=token))
        assert refusal.reason == "PAGE_TOKEN_INVALID"
    nobody = member_pb2.MemberKey(card_number="NOBODY42")
    refusal = await house.refusal(desk.SearchReceipts, Search(member_key=nobody))
    assert (refusal.reason, refusal.metadata["cause"]) == ("MEMBER_UNKNOWN", "MEMBER_NOT_FOUND")


@pytest.mark.usefixtures("campaigns")
async def test_a_receipt_decided_again_gets_the_same(house, desk):
    """The rules and the facts of its day, whatever came since."""
    member = await house.register()
    receipt = await buy(house, milk(10_000), member_id=member)
    later = await house.publish(promises.percent_off(5000, "milk"))
    answer = await house.call(desk.RerunReceipt, Rerun(receipt_id=receipt.receipt_id))
    await house.end(*later)
    assert list(answer.differences) == []
    assert answer.recorded == answer.rerun == receipt.evaluation


@pytest.mark.usefixtures("campaigns")
async def test_a_receipt_decided_otherwise_tells_what_differs(house, desk):
    """Other rules, another cart, another shopper: amounts and campaigns, before and after."""
    member = await house.register()
    receipt = await buy(house, milk(10_000), member_id=member)
    (half,) = await house.publish(promises.percent_off(5000, "milk"))
    newest = house.role.sets.current.version
    ask = Rerun(receipt_id=receipt.receipt_id, ruleset_version=newest)
    by_rules = await house.call(desk.RerunReceipt, ask)
    await house.end(half)
    changed = {one.campaign_id: one for one in by_rules.differences if one.campaign_id}
    assert changed[half].recorded_reason == checkout_pb2.OUTCOME_REASON_UNSPECIFIED
    assert changed[half].rerun_reason == checkout_pb2.OUTCOME_REASON_APPLIED
    assert changed[half].rerun_minor > 0
    cart = cart_of(milk(10_000), line("2", "bread", 500), member_id=member)
    ask = Rerun(receipt_id=receipt.receipt_id, cart=cart)
    by_cart = await house.call(desk.RerunReceipt, ask)
    amounts = {one.field: (one.recorded_minor, one.rerun_minor) for one in by_cart.differences}
    assert amounts["subtotal_minor"] == (10_000, 10_500)
    assert amounts["total_minor"] == (9_000, 9_500)
    ask = Rerun(receipt_id=receipt.receipt_id, cart=cart_of(milk(10_000)))
    unknown = await house.call(desk.RerunReceipt, ask)
    amounts = {one.field: (one.recorded_minor, one.rerun_minor) for one in unknown.differences}
    assert amounts["points_earned"] == (450, 0)
    assert unknown.rerun.member_id == ""
    read = checkout_service_pb2.GetReceiptRequest(receipt_id=receipt.receipt_id)
    assert (await house.call(house.checkout.GetReceipt, read)).receipt == receipt


@pytest.mark.usefixtures("campaigns")
async def test_every_campaign_answers_when_asked_to(house, desk):
    """Also those that never came near the cart."""
    receipt = await buy(house, line("1", "bread", 10_000))
    near = await house.call(desk.RerunReceipt, Rerun(receipt_id=receipt.receipt_id))
    ask = Rerun(receipt_id=receipt.receipt_id, explain_all=True)
    everybody = await house.call(desk.RerunReceipt, ask)
    assert len(everybody.rerun.outcomes) > len(near.rerun.outcomes)


async def test_bad_reruns_are_refused(house, desk):
    """No such receipt, no such rules, no such line."""
    receipt = await buy(house, milk(10_000))
    nobody = "rcp_" + "0" * 32
    refusal = await house.refusal(desk.RerunReceipt, Rerun(receipt_id=nobody))
    assert refusal.reason == "RECEIPT_NOT_FOUND"
    ask = Rerun(receipt_id=receipt.receipt_id, ruleset_version=10**9)
    assert (await house.refusal(desk.RerunReceipt, ask)).reason == "RULESET_NOT_FOUND"
    ask = Rerun(receipt_id=receipt.receipt_id, cart=cart_of(milk(1), milk(2)))
    assert (await house.refusal(desk.RerunReceipt, ask)).reason == "LINE_DUPLICATE"
