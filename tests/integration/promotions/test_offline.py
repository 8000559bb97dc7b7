"""Receipts of tills without a line: recorded as they were, with what we have against them."""

import asyncio
import random
import secrets

import pytest
from google.protobuf import timestamp_pb2
from tessera.ledger.v1 import account_pb2
from tessera.promotions.v1 import (
    campaign_pb2,
    checkout_pb2,
    offline_service_pb2,
    offline_service_pb2_grpc,
)

from tests.integration.promotions import promises
from tests.integration.promotions.houses import (
    cart_of,
    commit_of,
    line,
    return_of,
    stamp,
)

Record = offline_service_pb2.RecordReceiptRequest
List = offline_service_pb2.ListConflictsRequest
Kind = checkout_pb2.ConflictKind
LATE = "CONFLICT_KIND_LATE"
CAMPAIGN, MEMBER = account_pb2.OWNER_TYPE_CAMPAIGN, account_pb2.OWNER_TYPE_MEMBER


@pytest.fixture(scope="module")
async def campaigns(house):
    return await house.publish(
        promises.earn(500),
        promises.percent_off(1000, "milk"),
        promises.amount_off(100, limits=promises.limits(budget_minor=10_000)),
    )


@pytest.fixture
def tills(house):
    return offline_service_pb2_grpc.OfflineServiceStub(house.channel)


def happened(cart, evaluation, **about):
    """Tell of what an evaluation gave."""
    lines = [
        offline_service_pb2.GivenLine(
            line_id=one.line_id,
            points_payment_minor=one.points_payment_minor,
            parts=[
                offline_service_pb2.GivenPart(
                    campaign_id=part.campaign_id,
                    discount_minor=part.discount_minor,
                    points=part.points,
                )
                for part in one.parts
            ],
        )
        for one in evaluation.lines
    ]
    return Record(purchase=commit_of(cart, evaluation, **about), lines=lines)


async def record(house, tills, request):
    return (await house.call(tills.RecordReceipt, request)).receipt


def kinds(receipt):
    return {Kind.Name(one.kind).removeprefix("CONFLICT_KIND_") for one in receipt.conflicts}


@pytest.mark.usefixtures("campaigns")
async def test_an_honest_receipt_is_recorded_without_conflict(house, tills):
    """A store's own box decides as the platform does: nothing differs, and the points come."""
    member = await house.register()
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    request = happened(cart, await house.evaluate(cart))
    answer = await house.call(tills.RecordReceipt, request)
    assert not answer.replayed
    assert not answer.receipt.conflicts
    assert answer.receipt.evaluation.points_earned == 445
    assert await house.points(member) == 445
    again = await house.call(tills.RecordReceipt, request)
    assert again.replayed
    assert again.receipt == answer.receipt
    assert await house.points(member) == 445
    assert (await house.give_back(answer.receipt, **{"1": 1_000})).refund_minor == 8_900
    assert await house.points(member) == 0


@pytest.mark.usefixtures("campaigns")
async def test_receipts_come_in_any_order_and_any_number_of_times(house, tills):
    """Late, twice, newest first: each counts once, at the time when it happened."""
    member = await house.register()
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    offer = await house.evaluate(cart)
    requests = [
        happened(cart, offer, occurred=stamp(seconds=-3600 * hours)) for hours in range(5)
    ] * 3
    random.Random(1).shuffle(requests)
    receipts = await asyncio.gather(*(record(house, tills, one) for one in requests))
    assert len({one.receipt_id for one in receipts}) == 5
    assert await house.points(member) == 5 * 445
    assert {one.occurred_time.seconds for one in receipts} == {
        one.purchase.occurred_time.seconds for one in requests
    }


async def test_what_was_sold_stays_sold(house, tills, campaigns):
    """Points and a budget that are gone by now: the shopper keeps what the till gave."""
    _, _, limited = campaigns
    member = await house.register()
    await house.buy(cart_of(line("1", "bread", 10_000), member_id=member))
    held = await house.points(member)
    cart = cart_of(line("1", "milk", 10_000), member_id=member, points=300)
    offer = await house.evaluate(cart)
    assert offer.points_spent == 300
    await house.buy(cart_of(line("1", "bread", 1_000), member_id=member, points=held - 250))
    left = await house.budget(limited)
    await house.drain_budget(limited, left - 40)
    before = await house.points(member)
    receipt = await record(house, tills, happened(cart, offer))
    found = {one.kind: (one.till_amount, one.centre_amount) for one in receipt.conflicts}
    assert found[checkout_pb2.CONFLICT_KIND_POINTS_SHORT] == (300, before)
    assert found[checkout_pb2.CONFLICT_KIND_BUDGET_SHORT] == (100, 40)
    assert receipt.evaluation.total_minor == offer.total_minor
    assert await house.points(member) == offer.points_earned
    await house.drain_budget(limited, 40 - left)


@pytest.mark.usefixtures("campaigns")
async def test_only_points_that_were_taken_come_back(house, tills):
    """A till took 1,000 points of a shopper who had fewer: returns restore what there was, once."""
    member = await house.register()
    await house.buy(cart_of(line("1", "bread", 10_000), member_id=member))
    held = await house.points(member)
    assert 0 < held < 1_000
    other = await house.register()
    await house.buy(cart_of(line("1", "bread", 100_000), member_id=other))
    rich = cart_of(line("1", "bread", 2_000, 2_000), member_id=other, points=1_000)
    offer = await house.evaluate(rich)
    offer.member_id = member
    cart = cart_of(line("1", "bread", 2_000, 2_000), member_id=member, points=1_000)
    receipt = await record(house, tills, happened(cart, offer))
    assert "POINTS_SHORT" in kinds(receipt)
    returns = [await house.give_back(receipt, **{"1": 1_000}) for _ in range(2)]
    restored = [one.points_restored for one in returns]
    assert sum(restored) == held
    assert sum(one.points_not_restored for one in returns) == 1_000 - held
    assert await house.points(member) == held


@pytest.mark.usefixtures("campaigns")
async def test_a_till_gives_more_only_within_bounds(house, tills):
    """A few points more are honoured; many more are not given, and the total is flagged."""
    member = await house.register()
    cart = cart_of(line("1", "bread", 10_000), member_id=member)
    offer = await house.evaluate(cart)
    kind = checkout_pb2.CONFLICT_KIND_POINTS_EARNED
    for more, given, is_beyond in ((100, offer.points_earned + 100, False), (101, None, True)):
        generous = checkout_pb2.Evaluation()
        generous.CopyFrom(offer)
        add_points(generous, more)
        before = await house.points(member)
        receipt = await record(house, tills, happened(cart, generous))
        (conflict,) = [one for one in receipt.conflicts if one.kind == kind]
        assert conflict.beyond_bounds is is_beyond
        assert conflict.till_amount == generous.points_earned
        expected = offer.points_earned if given is None else given
        assert await house.points(member) == before + expected
        assert receipt.evaluation.points_earned == expected
    cheap = checkout_pb2.Evaluation()
    cheap.CopyFrom(offer)
    add_discount(cheap, 1_001)
    receipt = await record(house, tills, happened(cart, cheap))
    (conflict,) = [one for one in receipt.conflicts if one.kind == checkout_pb2.CONFLICT_KIND_TOTAL]
    assert (conflict.till_amount, conflict.centre_amount, conflict.beyond_bounds) == (
        offer.total_minor - 1_001,
        offer.total_minor,
        True,
    )
    assert receipt.evaluation.total_minor == offer.total_minor - 1_001


def add_points(evaluation, more):
    part = next(part for part in evaluation.lines[0].parts if part.points)
    part.points += more
    evaluation.lines[0].points_earned += more
    evaluation.points_earned += more
    outcome = next(one for one in evaluation.outcomes if one.campaign_id == part.campaign_id)
    outcome.points += more


def add_discount(evaluation, more):
    part = next(part for part in evaluation.lines[0].parts if part.discount_minor)
    outcome = next(one for one in evaluation.outcomes if one.campaign_id == part.campaign_id)
    for one in (part, outcome, evaluation.lines[0], evaluation):
        one.discount_minor += more
    evaluation.lines[0].total_minor -= more
    evaluation.total_minor -= more


@pytest.mark.usefixtures("campaigns")
async def test_strangers_late_receipts_and_old_rules_are_conflicts(house, tills):
    """Each is told with its kind, and listed for the chain to look at."""
    cart = cart_of(line("1", "bread", 10_000), member_id=await house.register())
    offer = await house.evaluate(cart)
    stranger = cart_of(line("1", "bread", 10_000), member_id="mem_" + "0" * 32)
    receipt = await record(house, tills, happened(stranger, offer))
    assert kinds(receipt) >= {"MEMBER_UNKNOWN"}
    assert receipt.evaluation.points_earned == 0
    assert receipt.evaluation.member_id == ""
    late = await record(house, tills, happened(cart, offer, occurred=stamp(seconds=-80 * 3600)))
    assert kinds(late) >= {"LATE", "RULESET_OUTDATED"}
    listed: dict[str, offline_service_pb2.ConflictedReceipt] = {}
    token = ""
    while True:
        page = await house.call(tills.ListConflicts, List(page_size=2, page_token=token))
        listed |= {one.receipt_id: one for one in page.receipts}
        token = page.next_page_token
        if not token:
            break
    assert list(listed[late.receipt_id].conflicts) == list(late.conflicts)
    assert receipt.receipt_id in listed
    assert listed[late.receipt_id].receipt_key == late.receipt_key
    times = [one.occurred_time.ToNanoseconds() for one in listed.values()]
    assert times == sorted(times)


@pytest.mark.usefixtures("campaigns")
async def test_a_purchase_that_is_committed_late_is_marked_and_listed(house, tills):
    """A dead clock says 2001, and the goods are sold: nobody is refused, and the chain is told."""
    member = await house.register()
    cart = cart_of(line("1", "bread", 10_000), member_id=member)
    offer = await house.evaluate(cart)
    request = commit_of(cart, offer, occurred=timestamp_pb2.Timestamp(seconds=1_000_000_000))
    answer = await house.commit(request)
    (told,) = answer.receipt.conflicts
    assert (told.kind, told.centre_amount, told.beyond_bounds) == (Kind.Value(LATE), 72, True)
    assert told.till_amount > 24 * 365 * 24
    again = await house.commit(request)
    assert again.replayed
    assert list(again.receipt.conflicts) == [told]
    listed = await house.call(tills.ListConflicts, List(page_size=1))
    assert listed.receipts[0].receipt_id == answer.receipt.receipt_id
    assert list(listed.receipts[0].conflicts) == [told]
    punctual = commit_of(cart, offer, occurred=stamp(seconds=-71 * 3600))
    assert not (await house.commit(punctual)).receipt.conflicts


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda one: setattr(one.lines[0], "line_id", "9"), "lines"),
        (lambda one: one.lines.add(line_id="2"), "lines"),
        (lambda one: setattr(one.lines[0].parts[0], "discount_minor", 10_001), "lines[0].parts"),
        (
            lambda one: setattr(one.lines[0].parts[0], "discount_minor", 7),
            "purchase.expected_total_minor",
        ),
        (
            lambda one: setattr(one.lines[0], "points_payment_minor", 10**6),
            "lines[0].points_payment_minor",
        ),
        (
            lambda one: setattr(one.lines[0], "points_payment_minor", 1),
            "purchase.cart.points_payment_minor",
        ),
        (
            lambda one: one.purchase.gift_card_payments.add(
                card_id="gcd_" + "0" * 32, amount_minor=one.purchase.expected_total_minor + 1
            ),
            "purchase.gift_card_payments",
        ),
        (
            lambda one: setattr(one.lines[0].parts[0], "campaign_id", "cmp_" + "0" * 32),
            "lines[0].parts",
        ),
    ],
)
async def test_what_contradicts_itself_is_refused(house, tills, campaigns, spoil, field):
    """And nothing is recorded: the till, or whoever pretends to be one, is told what is wrong."""
    assert campaigns
    cart = cart_of(line("1", "milk", 10_000), member_id=await house.register())
    request = happened(cart, await house.evaluate(cart))
    spoil(request)
    refusal = await house.refusal(tills.RecordReceipt, request)
    assert (refusal.reason, refusal.metadata["field"]) == ("EVALUATION_INCONSISTENT", field)


@pytest.mark.usefixtures("campaigns")
async def test_other_refusals(house, tills):
    """Another body, unknown rules, another store's till, the future."""
    cart = cart_of(line("1", "bread", 10_000))
    offer = await house.evaluate(cart)
    number = secrets.token_hex(8)
    await record(house, tills, happened(cart, offer, number=number))
    other = cart_of(line("1", "bread", 20_000))
    conflicting = happened(other, await house.evaluate(other), number=number)
    assert (await house.refusal(tills.RecordReceipt, conflicting)).reason == "RECEIPT_CONFLICT"
    offer.ruleset_version = 10**9
    refusal = await house.refusal(tills.RecordReceipt, happened(cart, offer))
    assert refusal.reason == "RULESET_NOT_FOUND"
    offer.ruleset_version = house.role.sets.current.version
    ahead = happened(cart, offer, occurred=stamp(seconds=86_400))
    assert (await house.refusal(tills.RecordReceipt, ahead)).reason == "OCCURRED_IN_FUTURE"
    refusal = await house.refusal(tills.RecordReceipt, happened(cart, offer), client="till-of-s2")
    assert refusal.reason == "STORE_NOT_ALLOWED"
    receipt = await record(house, tills, happened(cart, offer))
    returned = await house.refusal(house.checkout.Return, return_of(receipt, {"1": 1_001}))
    assert returned.reason == "RETURN_EXCEEDS_BOUGHT"


async def test_a_use_of_a_limited_campaign_is_counted(house, tills):
    """As it would be with a line; and a use too many is a conflict."""
    rules = promises.amount_off(100, limits=promises.limits(uses_max=1))
    (campaign_id,) = await house.publish(rules)
    cart = cart_of(line("1", "bread", 10_000))
    offer = await house.evaluate(cart)
    assert not (await record(house, tills, happened(cart, offer))).conflicts
    assert await house.uses(campaign_id) == 1
    receipt = await record(house, tills, happened(cart, offer))
    assert "LIMIT_REACHED" in kinds(receipt)
    assert await house.uses(campaign_id) == 1
    await house.end(campaign_id)


async def test_rewarded_units_and_sets_are_counted(house, tills):
    """A till tells money by line; how many units it was for follows from the cart."""
    sku = "sku-" + secrets.token_hex(4)
    units = promises.percent_off(
        5_000, sku, limits=promises.limits(units_max=3, units_per_article_max=3)
    )
    (campaign_id,) = await house.publish(units)
    cart = cart_of(line("1", sku, 1_000, 3_000))
    offer = await house.evaluate(cart)
    assert not (await record(house, tills, happened(cart, offer))).conflicts
    assert await house.available(CAMPAIGN, campaign_id, "units") == 3
    receipt = await record(house, tills, happened(cart, offer))
    found = [one for one in receipt.conflicts if one.kind == Kind.CONFLICT_KIND_LIMIT_REACHED]
    assert {(one.till_amount, one.centre_amount) for one in found} == {(3, 0)}
    assert all(one.beyond_bounds for one in found)
    await house.end(campaign_id)
    sets = promises.percent_off(
        5_000,
        sku,
        limits=promises.limits(uses_max=10, count_sets=True),
        combination=campaign_pb2.Combination(lane=campaign_pb2.LANE_MULTI_BUY),
        multi_buy=campaign_pb2.MultiBuy(groups=[campaign_pb2.UnitGroup(units=2)]),
    )
    (campaign_id,) = await house.publish(sets)
    cart = cart_of(line("1", sku, 1_000, 6_000))
    online = await house.buy(cart)
    used = await house.uses(campaign_id)
    receipt = await record(house, tills, happened(cart, online.evaluation))
    assert not receipt.conflicts
    assert used > 1
    assert await house.uses(campaign_id) == 2 * used
    await house.end(campaign_id)


async def test_stamps_are_burnt_and_missing_ones_are_a_conflict(house, tills):
    """By a member once; by nobody not at all."""
    card = "c" + secrets.token_hex(4)
    price = campaign_pb2.StampPrice(card_id=card, count=10)
    trigger = campaign_pb2.Trigger(coupon=campaign_pb2.CouponTrigger(codes=[card], stamps=price))
    (campaign_id,) = await house.publish(
        promises.amount_off(500, lane=campaign_pb2.LANE_COUPON, trigger=trigger)
    )
    member = await house.register()
    await house.give_stamps(member, card, 10)
    cart = cart_of(line("1", "bread", 2_000), member_id=member, codes=(card,))
    offer = await house.evaluate(cart)
    assert offer.discount_minor >= 500
    request = happened(cart, offer)
    assert not (await record(house, tills, request)).conflicts
    assert await house.available(MEMBER, member, f"stamps.{card}") == 0
    nobody = cart_of(line("1", "bread", 2_000), codes=(card,))
    stranger = cart_of(line("1", "bread", 2_000), codes=(card,), member_id="mem_" + "0" * 32)
    for other in (cart, nobody, stranger):
        receipt = await record(house, tills, happened(other, offer))
        (short,) = [one for one in receipt.conflicts if one.kind == Kind.CONFLICT_KIND_STAMPS_SHORT]
        assert (short.campaign_id, short.till_amount, short.centre_amount) == (campaign_id, 10, 0)
    await house.end(campaign_id)


async def test_stamps_and_coupons_for_later_come_with_the_receipt(house, tills):
    """No till tells them; the platform gives what it would have given, and takes it back."""
    sku, card = "sku-" + secrets.token_hex(4), "c" + secrets.token_hex(4)
    goods = campaign_pb2.ItemFilter(skus=[sku])
    (next_time,) = await house.publish(promises.coupon(card.upper(), personal=True))
    campaigns = await house.publish(
        promises.rules(
            campaign_pb2.Reward(
                earn_stamps=campaign_pb2.EarnStamps(
                    card_id=card, stamps=1, spread=campaign_pb2.POINTS_SPREAD_EACH_UNIT
                ),
                target=goods,
            ),
            campaign_pb2.LANE_EARN,
        ),
        promises.rules(
            campaign_pb2.Reward(
                issue_coupon=campaign_pb2.IssueCoupon(campaign_id=next_time, expire_days=7),
                target=goods,
            ),
            campaign_pb2.LANE_EARN,
        ),
    )
    member = await house.register()
    cart = cart_of(line("1", sku, 1_000, 3_000), member_id=member)
    offer = await house.evaluate(cart)
    receipt = await record(house, tills, happened(cart, offer))
    assert not receipt.conflicts
    assert receipt.evaluation.stamp_moves == offer.stamp_moves
    assert receipt.evaluation.coupon_grants == offer.coupon_grants
    held = f"coupon.{next_time}"
    assert await house.available(MEMBER, member, f"stamps.{card}") == 3
    assert await house.available(MEMBER, member, held) == 1
    await house.give_back(receipt, **{"1": 1_000})
    assert await house.available(MEMBER, member, f"stamps.{card}") == 2
    await house.give_back(receipt, **{"1": 2_000})
    assert await house.available(MEMBER, member, f"stamps.{card}") == 0
    assert await house.available(MEMBER, member, held) == 0
    await house.end(*campaigns, next_time)


async def test_points_of_nobody_and_points_beyond_their_share_are_conflicts(house, tills):
    """Whoever paid with them; and many more than there were are beyond bounds."""
    member = await house.register()
    for shopper, is_unknown in (("", False), ("mem_" + "0" * 32, True), (member, False)):
        cart = cart_of(line("1", "bread", 400), member_id=shopper, points=300)
        request = plain(house, cart, paid=300)
        receipt = await record(house, tills, request)
        (short,) = [one for one in receipt.conflicts if one.kind == Kind.CONFLICT_KIND_POINTS_SHORT]
        assert (short.till_amount, short.centre_amount, short.beyond_bounds) == (300, 0, False)
        assert ("MEMBER_UNKNOWN" in kinds(receipt)) is is_unknown
    cart = cart_of(line("1", "bread", 5_000), member_id=member, points=5_000)
    receipt = await record(house, tills, plain(house, cart, paid=5_000))
    (short,) = [one for one in receipt.conflicts if one.kind == Kind.CONFLICT_KIND_POINTS_SHORT]
    assert short.beyond_bounds


def plain(house, cart, *, paid):
    """Tell of a purchase of one line without discounts, paid with points in part."""
    amount = cart.lines[0].unit_price_minor
    request = Record(
        purchase=commit_of(cart, total=amount),
        lines=[offline_service_pb2.GivenLine(line_id="1", points_payment_minor=paid)],
    )
    request.purchase.ruleset_version = house.role.sets.current.version
    return request


@pytest.mark.usefixtures("campaigns")
async def test_a_key_stands_for_the_lines_too(house, tills):
    """Also where we recorded other points than the till gave, and after a commit of the same."""
    member = await house.register()
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    offer = await house.evaluate(cart)
    generous = checkout_pb2.Evaluation()
    generous.CopyFrom(offer)
    add_points(generous, 101)
    for given in (offer, generous):
        request = happened(cart, given)
        receipt = await record(house, tills, request)
        again = await house.call(tills.RecordReceipt, request)
        assert again.replayed
        assert again.receipt == receipt
        request.lines[0].parts[0].points += 1
        refusal = await house.refusal(tills.RecordReceipt, request)
        assert refusal.reason == "RECEIPT_CONFLICT"
        assert refusal.metadata["field"] == "lines[0].parts[0].points"
    request = happened(cart, offer)
    await house.commit(request.purchase)
    assert (await house.call(tills.RecordReceipt, request)).replayed
    del request.lines[0].parts[:]
    assert (await house.refusal(tills.RecordReceipt, request)).reason == "RECEIPT_CONFLICT"


@pytest.mark.usefixtures("campaigns")
async def test_what_was_sold_without_a_line_takes_no_reservation(house, tills):
    """A till that names one is told so, and nothing is recorded."""
    cart = cart_of(line("1", "bread", 10_000))
    request = happened(cart, await house.evaluate(cart))
    request.purchase.reservation_id = "rsv_" + "0" * 32
    assert (await house.refusal(tills.RecordReceipt, request)).reason == "INVALID_REQUEST"
