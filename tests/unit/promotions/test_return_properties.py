"""What holds for every sequence of returns."""

import dataclasses

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.promotions import engine
from tests.unit.promotions import samples

_thorough = settings(max_examples=40, deadline=None)


@st.composite
def sales(draw):
    campaigns = draw(samples.rulebooks())
    cart, facts = draw(samples.carts()), draw(samples.facts())
    ruleset = engine.compile(campaigns, version=1)
    return ruleset, cart, facts, engine.evaluate(ruleset, cart, facts, now=samples.NOW)


@st.composite
def sales_of(draw, kinds, lane):
    """Return sales with one campaign more that gives something of these kinds to everybody."""
    rules = engine.Rules(
        title=engine.Text("More"),
        rewards=(engine.Reward(draw(kinds)),),
        combination=engine.Combination(lane),
        condition=draw(st.sampled_from([None, engine.BasketTotal(400)])),
    )
    campaigns = [*draw(samples.rulebooks()), engine.Campaign("cmp_more", 1, rules)]
    cart, facts = draw(samples.carts(whole_units=True)), draw(samples.facts())
    cart = dataclasses.replace(cart, codes_all_or_none=False, gift_choices={"cmp_more": ("cup",)})
    ruleset = engine.compile(campaigns, version=1)
    return ruleset, cart, facts, engine.evaluate(ruleset, cart, facts, now=samples.NOW)


stamps = st.builds(
    engine.EarnStamps,
    st.just("coffee"),
    st.integers(1, 3),
    st.sampled_from([engine.PointsSpread.ONCE, engine.PointsSpread.EACH_UNIT]),
)


def _draw_return(data, cart, back):
    """Return some of the goods that are not back yet."""
    returned = {}
    for line in cart.lines:
        rest = line.quantity_thousandths - back.get(line.line_id, 0)
        if rest and data.draw(st.booleans()):
            returned[line.line_id] = data.draw(
                st.one_of(st.just(rest), st.just(min(rest, 1_000)), st.integers(1, rest))
            )
    return returned


def _return(sale, returned, before, *, gifts=None):
    ruleset, cart, facts, decision = sale
    return engine.price_return(
        ruleset,
        cart,
        facts,
        decision,
        now=samples.NOW,
        returned=returned,
        gifts=gifts,
        before=before,
    )


def _gifts(decision, so_far=None):
    """Return every gift of a receipt that is not back yet."""
    left: dict[tuple[str, str], int] = {}
    for one in decision.gifts:
        key = (one.campaign_id, one.sku)
        left[key] = left.get(key, 0) + one.units
    for name, sku, units in so_far.gifts if so_far else ():
        left[name, sku] -= units
    return {key: units for key, units in left.items() if units}


def _sum_stamps(decision):
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for one in decision.stamp_moves:
        earned, spent = found.get((one.campaign_id, one.card), (0, 0))
        found[one.campaign_id, one.card] = (earned + one.earned, spent + one.spent)
    return [engine.StampMove(*key, *moved) for key, moved in found.items()]


def _rest(cart, so_far):
    back = dict(so_far.quantities)
    return {
        line.line_id: line.quantity_thousandths - back.get(line.line_id, 0) for line in cart.lines
    }


def _minor(points, terms):
    return points // terms.point_units * terms.point_value_minor


@_thorough
@given(sales())
def test_returning_everything_at_once_gives_back_exactly_what_was_paid(sale):
    """Money, points paid and points earned: all of it, and nothing else."""
    _, cart, _, decision = sale
    everything = {line.line_id: line.quantity_thousandths for line in cart.lines}
    answer = _return(sale, everything, engine.ReturnedSoFar(), gifts=_gifts(decision))
    assert answer.complete
    assert answer.stamp_moves == tuple(sorted(_sum_stamps(decision)))
    assert answer.remaining is None
    assert answer.refund_minor == decision.total_minor - decision.points_payment_minor
    assert answer.points_restored == decision.points_spent
    assert answer.points_clawed_back == decision.points_earned


@_thorough
@given(sales(), st.data())
def test_returning_everything_in_steps_gives_back_exactly_what_was_paid(sale, data):
    """However the goods come back, in the end the shopper has what they had before.

    Gifts come with the last goods: whoever keeps them pays for them.
    """
    _, cart, _, decision = sale
    so_far = engine.ReturnedSoFar()
    for _ in range(3):
        if returned := _draw_return(data, cart, dict(so_far.quantities)):
            is_last = sum(returned.values()) == sum(_rest(cart, so_far).values())
            gifts = _gifts(decision, so_far) if is_last else None
            so_far = _return(sale, returned, so_far, gifts=gifts).so_far
    if rest := {name: count for name, count in _rest(cart, so_far).items() if count}:
        so_far = _return(sale, rest, so_far, gifts=_gifts(decision, so_far)).so_far
    assert so_far.refund_minor == decision.total_minor - decision.points_payment_minor
    assert so_far.points_restored == decision.points_spent
    assert so_far.points_clawed_back == decision.points_earned


@_thorough
@given(sales(), st.data())
def test_buying_and_returning_never_leaves_a_gain(sale, data):
    """Kept goods never cost less than on the receipt, nor earn more than they do alone."""
    _, cart, facts, decision = sale
    so_far = engine.ReturnedSoFar()
    for _ in range(3):
        returned = _draw_return(data, cart, dict(so_far.quantities))
        if not returned:
            continue
        answer = _return(sale, returned, so_far)
        assert min(answer.refund_minor, answer.points_restored, answer.points_clawed_back) >= 0
        so_far = answer.so_far
        rest = _rest(cart, so_far)
        given_back = so_far.refund_minor + _minor(so_far.points_restored, facts.terms)
        kept = dearest = 0
        for line, decided in zip(cart.lines, decision.lines, strict=True):
            kept += decided.total_minor * rest[line.line_id] // line.quantity_thousandths
            dearest += (rest[line.line_id] * line.unit_price_minor + 500) // 1_000
        assert decision.total_minor - given_back >= min(kept, dearest)
        money_paid = decision.total_minor - decision.points_payment_minor
        assert so_far.refund_minor <= money_paid
        assert so_far.points_restored <= decision.points_spent
        kept_points = decision.points_earned - so_far.points_clawed_back
        earned_alone = answer.remaining.points_earned if answer.remaining else 0
        assert 0 <= kept_points <= earned_alone


@_thorough
@given(sales(), st.data())
def test_a_first_return_leaves_the_rest_at_what_it_costs_by_the_same_offers(sale, data):
    """The rest costs at least what the receipt's campaigns make it cost alone."""
    ruleset, cart, facts, decision = sale
    returned = _draw_return(data, cart, {})
    assume(returned)
    answer = _return(sale, returned, engine.ReturnedSoFar())
    assume(not answer.complete)
    applied = {
        one.campaign_id: one.discount_minor
        for one in decision.outcomes
        if one.reason is engine.OutcomeReason.APPLIED
    }
    own = engine.compile([c for c in ruleset.campaigns if c.campaign_id in applied], version=1)
    rest = engine.evaluate(
        own,
        dataclasses.replace(
            cart,
            lines=tuple(
                line._replace(quantity_thousandths=quantity)
                for line in cart.lines
                if (quantity := line.quantity_thousandths - returned.get(line.line_id, 0))
            ),
        ),
        dataclasses.replace(
            facts,
            remaining={
                name: engine.Remaining(
                    1,
                    1,
                    cut,
                    1,
                    units=9_999,
                    article_units=dict.fromkeys(samples.SKUS, 9_999),
                    member_units=9_999,
                )
                for name, cut in applied.items()
            },
        ),
        now=samples.NOW,
    )
    assert answer.remaining is not None
    assert answer.remaining.total_minor >= rest.total_minor
    given_back = answer.refund_minor + _minor(answer.points_restored, facts.terms)
    assert given_back <= max(0, decision.total_minor - rest.total_minor)
    assert given_back <= max(0, decision.total_minor - answer.remaining.total_minor)


@_thorough
@given(sales())
def test_returning_a_free_bag_changes_nothing(sale):
    """What stays is the same purchase, so it gets the same from every campaign."""
    ruleset, cart, facts, _ = sale
    bag = engine.CartLine("bag", "bag", 1_000, 0)
    cart = dataclasses.replace(cart, lines=(*cart.lines, bag))
    decision = engine.evaluate(ruleset, cart, facts, now=samples.NOW)
    answer = _return((ruleset, cart, facts, decision), {"bag": 1_000}, engine.ReturnedSoFar())
    assert answer.so_far == engine.ReturnedSoFar(quantities=(("bag", 1_000),))
    assert answer.remaining is not None
    assert answer.remaining.lines == decision.lines[:-1]
    assert answer.remaining.earnings == decision.earnings


@_thorough
@given(sales(), st.data())
def test_a_ruleset_of_the_receipts_own_campaigns_is_enough(sale, data):
    """The other campaigns of that day need not be kept for its returns."""
    ruleset, cart, facts, decision = sale
    returned = _draw_return(data, cart, {})
    assume(returned)
    applied = {
        one.campaign_id for one in decision.outcomes if one.reason is engine.OutcomeReason.APPLIED
    }
    own = engine.compile([c for c in ruleset.campaigns if c.campaign_id in applied], version=1)
    before = engine.ReturnedSoFar()
    assert _return((own, cart, facts, decision), returned, before) == _return(
        sale, returned, before
    )


@_thorough
@given(sales_of(samples.gifts, engine.Lane.ITEM), st.data())
def test_keeping_gifts_never_leaves_a_gain(sale, data):
    """Undeserved gifts are paid for where the campaign says so, once, and as far as money goes."""
    ruleset, cart, _, decision = sale
    returned = _draw_return(data, cart, {})
    if not returned or not decision.gifts:
        return
    without = _return(sale, returned, engine.ReturnedSoFar())
    gifts = _gifts(decision)
    together = _return(sale, returned, engine.ReturnedSoFar(), gifts=gifts)
    assert together.gifts_deducted_minor == 0
    assert without.refund_minor <= together.refund_minor
    values = {(one.campaign_id, one.sku): one.value_minor for one in decision.gifts}
    most = sum(
        units * values[name, sku]
        for (name, sku), units in gifts.items()
        if any(
            isinstance(one.kind, engine.GiftItems)
            and one.kind.on_return is engine.GiftReturn.DEDUCT
            for one in ruleset.find(name).rules.all_rewards
        )
    )
    assert 0 <= without.gifts_deducted_minor <= most
    kept = together.refund_minor - without.refund_minor
    assert kept <= without.gifts_deducted_minor


@_thorough
@given(sales_of(stamps, engine.Lane.EARN), st.data())
def test_stamps_never_come_back_more_than_they_moved(sale, data):
    """However the goods come back, no stamp is given back or taken back twice."""
    _, cart, _, decision = sale
    so_far = engine.ReturnedSoFar()
    undone: dict[tuple[str, str], tuple[int, int]] = {}
    for _ in range(3):
        if returned := _draw_return(data, cart, dict(so_far.quantities)):
            answer = _return(sale, returned, so_far)
            so_far = answer.so_far
            for one in answer.stamp_moves:
                assert min(one.earned, one.spent) >= 0
                earned, spent = undone.get((one.campaign_id, one.card), (0, 0))
                moved = (earned + one.earned, spent + one.spent)
                undone[one.campaign_id, one.card] = moved
    for one in _sum_stamps(decision):
        earned, spent = undone.get((one.campaign_id, one.card), (0, 0))
        assert earned <= one.earned
        assert spent <= one.spent
