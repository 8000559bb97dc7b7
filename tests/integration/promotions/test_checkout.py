"""From cart to receipt and back: amounts, points, coupons, refusals."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from tests.integration.promotions import promises
from tests.integration.promotions.houses import (
    OTHER_STORE,
    STORE,
    cart_of,
    commit_of,
    key_of,
    line,
    return_of,
    stamp,
)

Void = checkout_service_pb2.VoidRequest
GetReceipt = checkout_service_pb2.GetReceiptRequest
FindReceipt = checkout_service_pb2.FindReceiptRequest

NOTHING = "rcp_" + "0" * 32


pytestmark = pytest.mark.usefixtures("earning")


@pytest.fixture(scope="module")
async def earning(house):
    """Five percent back for every member, the whole module long."""
    (campaign_id,) = await house.publish(promises.earn(500))
    return campaign_id


@pytest.fixture
async def member(house):
    return await house.register()


async def test_an_unknown_shopper_buys_without_the_ledger(house):
    """Nothing of value moves, and the receipt is read back as it was answered."""
    cart = cart_of(line("1", "milk", 199, 1500), line("2", "never-seen", 50))
    receipt = await house.buy(cart)
    assert receipt.evaluation.total_minor == 299 + 50
    assert receipt.state == checkout_pb2.RECEIPT_STATE_COMMITTED
    by_id = await house.call(house.checkout.GetReceipt, GetReceipt(receipt_id=receipt.receipt_id))
    by_key = await house.call(
        house.checkout.FindReceipt, FindReceipt(receipt_key=receipt.receipt_key)
    )
    assert by_id.receipt == by_key.receipt == receipt


async def test_points_are_earned_spent_and_never_both_from_one_receipt(house, member):
    """What a receipt earns cannot pay for it; what was earned before can."""
    first = await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))
    assert first.evaluation.points_earned == 500
    assert await house.points(member) == 500
    second = await house.buy(cart_of(line("1", "milk", 2_000), member_id=member, points=500))
    assert second.evaluation.points_spent == 500
    assert second.evaluation.points_earned == 75
    assert await house.points(member) == 75


async def test_the_answer_names_the_event(house, member):
    """Others learn of the purchase with its amounts."""
    receipt = await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))
    event = await house.event(lambda event: event.subject_id == receipt.receipt_id)
    told = event.receipt_committed
    assert (told.member_id, told.total_minor, told.points_earned) == (member, 10_000, 500)
    assert [effect.points for effect in told.effects] == [500]


async def test_points_may_live_shorter_than_the_program_says(house):
    """A campaign's own expiry is the lot's."""
    (campaign_id,) = await house.publish(promises.earn_short_lived(50, 10))
    member = await house.register()
    await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))
    lots = await house.lots(member)
    soon, late = sorted(lots, key=lambda lot: lot.expire_time.seconds)
    days = (soon.expire_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)) / timedelta(days=1)
    assert (soon.amount, late.amount) == (50, 500)
    assert 10 <= days <= 11
    await house.end(campaign_id)


async def test_a_card_or_a_phone_leads_to_the_member(house):
    """The till sends what the shopper shows; nobody is MEMBER_UNKNOWN with the cause."""
    number = str(secrets.randbelow(10**15)).zfill(15)
    joined = await house.call(
        house.members.RegisterMember,
        member_service_pb2.RegisterMemberRequest(
            request_id=secrets.token_hex(8), card_number=number, phone="+79161234567"
        ),
    )
    for key in (
        member_pb2.MemberKey(card_number=number),
        member_pb2.MemberKey(phone="8 916 123-45-67"),
    ):
        cart = cart_of(line("1", "milk", 10_000))
        cart.member_key.CopyFrom(key)
        offer = await house.evaluate(cart)
        assert offer.member_id == joined.member.member_id
        assert offer.points_earned == 500
    for key, cause in (
        (member_pb2.MemberKey(card_number="999999999"), "MEMBER_NOT_FOUND"),
        (member_pb2.MemberKey(phone="12345"), "PHONE_INVALID"),
    ):
        cart = cart_of(line("1", "milk", 10_000))
        cart.member_key.CopyFrom(key)
        for method, request in (
            (house.checkout.Evaluate, checkout_service_pb2.EvaluateRequest(cart=cart)),
            (house.checkout.Commit, commit_of(cart, total=10_000)),
        ):
            refusal = await house.refusal(method, request)
            assert (refusal.reason, refusal.metadata["cause"]) == ("MEMBER_UNKNOWN", cause)


async def test_a_blocked_member_gets_nothing(house, member):
    """Neither a price nor a receipt."""
    block = member_service_pb2.BlockMemberRequest(member_id=member, cause="test")
    await house.call(house.members.BlockMember, block)
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    request = checkout_service_pb2.EvaluateRequest(cart=cart)
    assert (await house.refusal(house.checkout.Evaluate, request)).reason == "MEMBER_BLOCKED"
    refusal = await house.refusal(house.checkout.Commit, commit_of(cart, total=10_000))
    assert refusal.reason == "MEMBER_BLOCKED"


async def test_a_bad_cart_is_refused_by_evaluate_and_commit_alike(house):
    """Each mistake has its reason, and nothing is written."""
    good = cart_of(line("1", "milk", 100))
    unknown_store = cart_of(line("1", "milk", 100), store="nowhere")
    foreign = cart_of(line("1", "milk", 100))
    foreign.currency_code = "EUR"
    twice = cart_of(line("1", "milk", 100), line("1", "bread", 100))
    nothing = cart_of(line("1", "milk", 1, 1))
    for cart, reason in (
        (unknown_store, "STORE_NOT_FOUND"),
        (foreign, "CURRENCY_MISMATCH"),
        (twice, "LINE_DUPLICATE"),
        (nothing, "AMOUNT_OUT_OF_RANGE"),
    ):
        request = checkout_service_pb2.EvaluateRequest(cart=cart)
        assert (await house.refusal(house.checkout.Evaluate, request)).reason == reason
        commit = commit_of(cart, total=0)
        assert (await house.refusal(house.checkout.Commit, commit)).reason == reason
        find = FindReceipt(receipt_key=commit.receipt_key)
        assert (await house.refusal(house.checkout.FindReceipt, find)).reason == "RECEIPT_NOT_FOUND"
    asked = checkout_service_pb2.EvaluateRequest(cart=foreign)
    refusal = await house.refusal(house.checkout.Evaluate, asked)
    assert refusal.metadata["expected_currency_code"] == "USD"
    for part in ("till_id", "shift_id", "receipt_number"):
        blank = commit_of(good, total=100)
        setattr(blank.receipt_key, part, "  ")
        refusal = await house.refusal(house.checkout.Commit, blank)
        assert refusal.reason == "INVALID_REQUEST"
        assert f"receipt_key.{part}" in refusal.metadata["problem"]
    late = commit_of(good, total=100, occurred=stamp(seconds=700))
    assert (await house.refusal(house.checkout.Commit, late)).reason == "OCCURRED_IN_FUTURE"
    broken = commit_of(good, total=100)
    broken.occurred_time.seconds = 10**15
    assert (await house.refusal(house.checkout.Commit, broken)).reason == "INVALID_REQUEST"
    wrong = commit_of(good, total=100)
    wrong.ruleset_version = 10**9
    assert (await house.refusal(house.checkout.Commit, wrong)).reason == "RULESET_NOT_FOUND"
    assert not house.role.sets._loading


async def test_a_clock_that_is_a_little_ahead_is_no_reason_to_refuse(house, member):
    """Five minutes are a till's bad clock; the ledger hears our own time then."""
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    offer = await house.evaluate(cart)
    request = commit_of(cart, offer, occurred=stamp(seconds=300))
    receipt = (await house.commit(request)).receipt
    assert receipt.occurred_time == request.occurred_time
    assert await house.points(member) == 500


async def test_nobody_pays_what_was_not_shown(house, member):
    """Another total, or points that are not there, are refused with the right amount."""
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    refusal = await house.refusal(house.checkout.Commit, commit_of(cart, total=9_999))
    assert refusal.reason == "TOTAL_CHANGED"
    assert refusal.metadata == {"total_minor": "10000", "expected_total_minor": "9999"}
    cart.points_payment_minor = 1
    refusal = await house.refusal(house.checkout.Commit, commit_of(cart, total=10_000))
    assert (refusal.reason, refusal.metadata["max_minor"]) == ("POINTS_PAYMENT_TOO_HIGH", "0")
    assert await house.points(member) == 0


async def test_a_receipt_key_is_used_once_for_ever(house, member):
    """The same body answers the same; another one is refused and names what differs."""
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    request = commit_of(cart, await house.evaluate(cart))
    first = await house.commit(request)
    again = await house.commit(request)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.receipt == again.receipt
    assert await house.points(member) == 500
    request.cart.lines[0].unit_price_minor = 1
    refusal = await house.refusal(house.checkout.Commit, request)
    assert (refusal.reason, refusal.metadata["field"]) == (
        "RECEIPT_CONFLICT",
        "cart.lines[0].unit_price_minor",
    )
    same_total = commit_of(cart, total=10_000, number=request.receipt_key.receipt_number)
    refusal = await house.refusal(house.checkout.Commit, same_total)
    assert refusal.reason == "RECEIPT_CONFLICT"


async def test_a_purchase_of_the_past_is_answered_whatever_holds_today(house, member):
    """Rules that ended and a member who was blocked since change nothing about the receipt."""
    (campaign_id,) = await house.publish(promises.percent_off(1000, "milk"))
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    request = commit_of(cart, await house.evaluate(cart))
    first = await house.commit(request)
    await house.end(campaign_id)
    block = member_service_pb2.BlockMemberRequest(member_id=member, cause="test")
    await house.call(house.members.BlockMember, block)
    again = await house.commit(request)
    assert again.replayed
    assert again.receipt == first.receipt


async def test_a_receipt_is_decided_by_the_rule_set_it_was_shown(house):
    """What Evaluate promised holds, though the campaign ended a moment before."""
    (campaign_id,) = await house.publish(promises.percent_off(1000, "milk"))
    cart = cart_of(line("1", "milk", 10_000))
    offer = await house.evaluate(cart)
    await house.end(campaign_id)
    assert (await house.evaluate(cart)).total_minor == 10_000
    receipt = (await house.commit(commit_of(cart, offer))).receipt
    assert receipt.evaluation.total_minor == 9_000
    assert receipt.evaluation.ruleset_version == offer.ruleset_version


async def test_a_till_acts_for_its_own_store_alone(house, member):
    """Every method asks the token, and a return is taken where the goods come back."""
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    evaluate = checkout_service_pb2.EvaluateRequest(cart=cart)
    request = commit_of(cart, await house.evaluate(cart))
    receipt = (await house.commit(request)).receipt
    foreign, own = "till-of-s2", "till-of-s1"
    for method, refused in (
        (house.checkout.Evaluate, evaluate),
        (house.checkout.Commit, request),
        (house.checkout.Void, Void(receipt_id=receipt.receipt_id)),
        (house.checkout.Return, return_of(receipt, {"1": 1000})),
        (house.checkout.GetReceipt, GetReceipt(receipt_id=receipt.receipt_id)),
        (house.checkout.FindReceipt, FindReceipt(receipt_key=receipt.receipt_key)),
    ):
        refusal = await house.refusal(method, refused, client=foreign)
        assert (refusal.reason, refusal.metadata["store_id"]) == ("STORE_NOT_ALLOWED", STORE)
    assert (await house.call(house.checkout.Commit, request, client=own)).replayed
    elsewhere = return_of(receipt, {"1": 1000}, store=OTHER_STORE)
    back = await house.call(house.checkout.Return, elsewhere, client=foreign)
    assert back.returned.refund_minor == 10_000


async def test_a_void_gives_and_takes_everything_back(house):
    """Points, coupon, budget, uses: as if it had never been; and voiding twice is voiding once."""
    member = await house.register()
    await house.buy(cart_of(line("1", "bread", 100_000), member_id=member))
    points = await house.points(member)
    campaign_id, limited = await house.publish(
        promises.coupon("ONCE", 1_000, personal=True),
        promises.amount_off(
            500, limits=promises.limits(budget_minor=600, uses_max=1, uses_per_member_max=1)
        ),
    )
    await house.grant(campaign_id, member)
    cart = cart_of(line("1", "milk", 10_000), member_id=member, codes=("once",), points=1_000)
    receipt = await house.buy(cart)
    assert receipt.evaluation.discount_minor == 1_500
    assert await house.budget(limited) == 100
    for _ in range(2):
        voided = await house.call(house.checkout.Void, Void(receipt_id=receipt.receipt_id))
        assert voided.receipt.state == checkout_pb2.RECEIPT_STATE_VOIDED
        assert voided.receipt.points_not_recovered == 0
    assert await house.points(member) == points
    assert await house.budget(limited) == 600
    assert await house.uses(limited) == 0
    assert await house.available(2, member, f"coupon.{campaign_id}") == 1
    event = await house.event(lambda event: event.receipt_voided.receipt_id == receipt.receipt_id)
    assert event.receipt_voided.member_id == member
    refusal = await house.refusal(house.checkout.Return, return_of(receipt, {"1": 1000}))
    assert (refusal.reason, refusal.metadata["state"]) == ("RECEIPT_STATE", "VOIDED")
    await house.end(campaign_id, limited)


async def test_a_void_without_value_needs_no_ledger(house):
    """A receipt that moved nothing is undone at once."""
    receipt = await house.buy(cart_of(line("1", "milk", 199)))
    voided = await house.call(house.checkout.Void, Void(receipt_id=receipt.receipt_id))
    assert voided.receipt.state == checkout_pb2.RECEIPT_STATE_VOIDED
    await house.event(lambda event: event.receipt_voided.receipt_id == receipt.receipt_id)


async def test_goods_come_back_in_parts(house, member):
    """Each part gives its money and takes its points back; the sum is the whole, never more."""
    await house.buy(cart_of(line("1", "bread", 20_000), member_id=member))
    cart = cart_of(
        line("a", "milk", 1_000, 3_000), line("b", "bread", 2_000), member_id=member, points=1_000
    )
    receipt = await house.buy(cart)
    assert receipt.evaluation.points_earned == 200
    first = await house.give_back(receipt, a=1_000)
    second = await house.give_back(receipt, a=1_000, b=1_000)
    state = await house.call(house.checkout.GetReceipt, GetReceipt(receipt_id=receipt.receipt_id))
    assert state.receipt.state == checkout_pb2.RECEIPT_STATE_COMMITTED
    assert [one.return_id for one in state.receipt.returns] == [first.return_id, second.return_id]
    refusal = await house.refusal(house.checkout.Void, Void(receipt_id=receipt.receipt_id))
    assert (refusal.reason, refusal.metadata["return_count"]) == ("RECEIPT_STATE", "2")
    assert "have come back" in refusal.message
    last = await house.give_back(receipt, a=1_000)
    backs = (first, second, last)
    assert sum(back.refund_minor for back in backs) == 4_000
    assert sum(back.points_restored for back in backs) == 1_000
    assert sum(back.points_clawed_back for back in backs) == 200
    assert not last.HasField("remaining")
    assert await house.points(member) == 1_000
    state = await house.call(house.checkout.GetReceipt, GetReceipt(receipt_id=receipt.receipt_id))
    assert state.receipt.state == checkout_pb2.RECEIPT_STATE_RETURNED
    refusal = await house.refusal(house.checkout.Return, return_of(receipt, {"a": 1000}))
    assert (refusal.reason, refusal.metadata["state"]) == ("RECEIPT_STATE", "RETURNED")
    event = await house.event(lambda event: event.receipt_returned.return_id == last.return_id)
    assert event.receipt_returned.purchase_emptied


async def test_a_return_is_idempotent_by_its_own_key(house, member):
    """Sent again, it is answered again; with another body, or a purchase's key, it is refused."""
    receipt = await house.buy(cart_of(line("1", "milk", 1_000, 5_000), member_id=member))
    request = return_of(receipt, {"1": 2_000})
    first = await house.call(house.checkout.Return, request)
    again = await house.call(house.checkout.Return, request)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.returned == again.returned
    assert first.returned.remaining.total_minor == 3_000
    request.lines[0].quantity_thousandths = 1_000
    refusal = await house.refusal(house.checkout.Return, request)
    assert refusal.reason == "RECEIPT_CONFLICT"
    assert refusal.metadata["field"] == "lines[0].quantity_thousandths"
    taken = return_of(receipt, {"1": 1_000}, number=receipt.receipt_key.receipt_number)
    refusal = await house.refusal(house.checkout.Return, taken)
    assert (refusal.reason, refusal.metadata["used_by"]) == ("RECEIPT_CONFLICT", "purchase")
    assert refusal.message == "The receipt key is that of a purchase."
    sale = commit_of(
        cart_of(line("1", "milk", 100)), total=100, number=request.receipt_key.receipt_number
    )
    refusal = await house.refusal(house.checkout.Commit, sale)
    assert (refusal.reason, refusal.metadata["used_by"]) == ("RECEIPT_CONFLICT", "return")
    found = await house.call(
        house.checkout.FindReceipt, FindReceipt(receipt_key=request.receipt_key)
    )
    assert found.receipt.receipt_id == receipt.receipt_id
    assert [one.return_id for one in found.receipt.returns] == [first.returned.return_id]


async def test_a_return_has_a_store_and_comes_after_its_purchase(house, member):
    """A clock that is a little slow is no reason to send a shopper away; years are."""
    receipt = await house.buy(cart_of(line("1", "milk", 1_000, 5_000), member_id=member))
    nowhere = return_of(receipt, {"1": 1_000}, store="no-such-store")
    refusal = await house.refusal(house.checkout.Return, nowhere)
    assert (refusal.reason, refusal.metadata) == (
        "STORE_NOT_FOUND",
        {"store_id": "no-such-store"},
    )
    early = return_of(receipt, {"1": 1_000})
    early.occurred_time.seconds = 1_577_836_800
    refusal = await house.refusal(house.checkout.Return, early)
    assert refusal.reason == "RETURN_BEFORE_PURCHASE"
    bought = receipt.occurred_time.ToDatetime(UTC)
    assert datetime.fromisoformat(refusal.metadata["purchase_time"]) == bought
    slow = return_of(receipt, {"1": 1_000})
    slow.occurred_time.seconds = receipt.occurred_time.seconds - 30
    answer = await house.call(house.checkout.Return, slow)
    assert answer.returned.refund_minor == 1_000


async def test_a_void_tells_what_was_spent_meanwhile(house, member):
    """Points that the purchase had given and that paid for another one stay with the shopper."""
    first = await house.buy(cart_of(line("1", "bread", 20_000), member_id=member))
    earned = first.evaluation.points_earned
    spent = earned - 100
    await house.buy(cart_of(line("1", "bread", 10_000), member_id=member, points=spent))
    before = await house.points(member)
    missing = max(earned - before, 0)
    for _ in range(2):
        voided = (await house.call(house.checkout.Void, Void(receipt_id=first.receipt_id))).receipt
        assert voided.points_not_recovered == missing > 0
    assert await house.points(member) == before - (earned - missing)
    get = GetReceipt(receipt_id=first.receipt_id)
    assert (await house.call(house.checkout.GetReceipt, get)).receipt == voided


async def test_a_return_of_what_was_not_bought_is_refused(house, member):
    """Too much, another line, the same line twice, no such receipt, a time to come."""
    receipt = await house.buy(cart_of(line("1", "milk", 1_000, 2_000), member_id=member))
    too_much = return_of(receipt, {"1": 2_001})
    refusal = await house.refusal(house.checkout.Return, too_much)
    assert refusal.reason == "RETURN_EXCEEDS_BOUGHT"
    assert refusal.metadata == {"line_id": "1", "remaining_thousandths": "2000"}
    refusal = await house.refusal(house.checkout.Return, return_of(receipt, {"2": 1}))
    assert (refusal.reason, refusal.metadata["line_id"]) == ("LINE_NOT_FOUND", "2")
    twice = return_of(receipt, {"1": 1_000})
    twice.lines.append(twice.lines[0])
    refusal = await house.refusal(house.checkout.Return, twice)
    assert (refusal.reason, refusal.metadata["line_id"]) == ("LINE_DUPLICATE", "1")
    early = return_of(receipt, {"1": 1_000})
    early.occurred_time.CopyFrom(stamp(seconds=700))
    assert (await house.refusal(house.checkout.Return, early)).reason == "OCCURRED_IN_FUTURE"
    receipt.receipt_id = NOTHING
    refusal = await house.refusal(house.checkout.Return, return_of(receipt, {"1": 1_000}))
    assert refusal.reason == "RECEIPT_NOT_FOUND"
    for method, request in (
        (house.checkout.Void, Void(receipt_id=NOTHING)),
        (house.checkout.GetReceipt, GetReceipt(receipt_id=NOTHING)),
        (house.checkout.FindReceipt, FindReceipt(receipt_key=key_of())),
    ):
        assert (await house.refusal(method, request)).reason == "RECEIPT_NOT_FOUND"


async def test_points_spent_meanwhile_are_told_and_not_made_up(house, member):
    """A return takes what is left of the points that its goods had earned, and says the rest."""
    first = await house.buy(cart_of(line("1", "milk", 10_000), member_id=member))
    await house.buy(cart_of(line("1", "never-seen", 800), member_id=member, points=400))
    left = await house.points(member)
    back = await house.give_back(first, **{"1": 1_000})
    assert back.points_clawed_back == left
    assert back.points_not_recovered == 500 - left
    assert await house.points(member) == 0


async def test_a_threshold_that_breaks_takes_its_discount_along(house):
    """What stays is priced by the campaigns of that day, also after they ended."""
    rules = promises.amount_off(1_000)
    rules.condition.basket_total.amount_min_minor = 5_000
    (campaign_id,) = await house.publish(rules)
    receipt = await house.buy(cart_of(line("1", "milk", 3_000), line("2", "bread", 3_000)))
    assert receipt.evaluation.total_minor == 5_000
    await house.end(campaign_id)
    back = await house.give_back(receipt, **{"1": 1_000})
    assert back.refund_minor == 2_000
    assert back.remaining.total_minor == 3_000
    last = await house.give_back(receipt, **{"2": 1_000})
    assert back.refund_minor + last.refund_minor == 5_000


async def test_a_campaign_of_sets_is_sold_and_taken_back(house):
    """Three for two from the contract to the receipt; a broken set loses its free unit."""
    (campaign_id,) = await house.publish(promises.cheapest_free(3))
    receipt = await house.buy(
        cart_of(line("1", "milk", 500), line("2", "bread", 400), line("3", "never-seen", 300))
    )
    assert receipt.evaluation.discount_minor == 300
    first = await house.give_back(receipt, **{"1": 1_000})
    second = await house.give_back(receipt, **{"2": 1_000, "3": 1_000})
    assert first.refund_minor + second.refund_minor == 900
    await house.end(campaign_id)


async def test_a_whole_return_gives_limits_back(house):
    """A part keeps the use and the budget; the whole frees both for the next shopper."""
    (campaign_id,) = await house.publish(
        promises.percent_off(
            1000,
            "milk",
            limits=promises.limits(budget_minor=1_000, uses_max=1, uses_per_member_max=1),
        )
    )
    member = await house.register()
    receipt = await house.buy(cart_of(line("1", "milk", 2_500, 2_000), member_id=member))
    assert await house.budget(campaign_id) == 500
    await house.give_back(receipt, **{"1": 1_000})
    assert (await house.budget(campaign_id), await house.uses(campaign_id)) == (500, 1)
    await house.give_back(receipt, **{"1": 1_000})
    assert (await house.budget(campaign_id), await house.uses(campaign_id)) == (1_000, 0)
    again = await house.evaluate(cart_of(line("1", "milk", 2_500), member_id=member))
    assert again.discount_minor == 250
    await house.end(campaign_id)


async def test_months_long_gone_are_kept_too(house):
    """A receipt of two years ago gets its month's partition, one of long ago the common one."""
    for years in (2, 20):
        cart = cart_of(line("1", "milk", 100))
        occurred = stamp(datetime.now(UTC) - timedelta(days=365 * years))
        request = commit_of(cart, await house.evaluate(cart), occurred=occurred)
        receipt = (await house.commit(request)).receipt
        read = await house.call(
            house.checkout.GetReceipt, GetReceipt(receipt_id=receipt.receipt_id)
        )
        assert read.receipt == receipt
    parts = {
        row[0] for row in await house.db.fetch("SELECT tableoid::regclass::text FROM purchases")
    }
    assert "purchases_default" in parts
    assert len(parts) >= 3
