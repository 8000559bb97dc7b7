"""What holds for every rule set and every cart."""

import dataclasses
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from services.promotions import engine
from tests.unit.promotions import samples

_APPLIED = engine.OutcomeReason.APPLIED
_thorough = settings(max_examples=40, deadline=None)


def _evaluate(campaigns, cart, facts, **options):
    ruleset = engine.compile(campaigns, version=1)
    return engine.evaluate(ruleset, cart, facts, now=samples.NOW, **options)


def _sums(decision):
    """Return everything that does not name a line."""
    return dataclasses.replace(decision, lines=())


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts(), st.sampled_from(list(engine.Explain)))
def test_going_on_from_the_needs_decides_the_same(campaigns, cart, facts, explain):
    """What was found out before anybody asked for balances is what would be found out again."""
    ruleset = engine.compile(campaigns, version=1)
    member = facts.member and dataclasses.replace(facts.member, points_balance=None, stamps=None)
    asking = dataclasses.replace(facts, member=member, remaining={})
    needs = engine.find_needs(ruleset, cart, asking, now=samples.NOW)
    again = engine.evaluate(
        ruleset, cart, facts, now=samples.NOW, explain=explain, meeting=needs.meeting
    )
    assert again == engine.evaluate(ruleset, cart, facts, now=samples.NOW, explain=explain)


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts())
def test_parts_add_up_to_lines_and_lines_to_the_receipt(campaigns, cart, facts):
    """Every sum on a decision is exact, over lines, campaigns and lots alike."""
    decision = _evaluate(campaigns, cart, facts)
    lines = decision.lines
    assert decision.subtotal_minor == sum(line.amount_minor for line in lines)
    assert decision.discount_minor == sum(line.discount_minor for line in lines)
    assert decision.total_minor == sum(line.total_minor for line in lines)
    assert decision.total_minor == decision.subtotal_minor - decision.discount_minor
    assert decision.points_payment_minor == sum(line.points_payment_minor for line in lines)
    assert decision.points_earned == sum(line.points_earned for line in lines)
    assert decision.points_earned == sum(lot.points for lot in decision.earnings)
    for line in lines:
        assert line.total_minor == line.amount_minor - line.discount_minor
        assert line.discount_minor == sum(part.discount_minor for part in line.parts)
        assert line.points_earned == sum(part.points for part in line.parts)
        assert all(part.discount_minor > 0 or part.points > 0 for part in line.parts)
    for outcome in decision.outcomes:
        parts = [p for line in lines for p in line.parts if p.campaign_id == outcome.campaign_id]
        assert outcome.discount_minor == sum(part.discount_minor for part in parts)
        assert outcome.points == sum(part.points for part in parts)
        given_otherwise = any(
            one.campaign_id == outcome.campaign_id
            for many in (
                decision.gifts,
                decision.gift_offers,
                decision.coupon_grants,
                decision.stamp_moves,
            )
            for one in many
        )
        assert (outcome.reason is _APPLIED) == bool(parts or given_otherwise)


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts())
def test_no_line_goes_below_zero_or_its_floor(campaigns, cart, facts):
    """Whatever comes together, a line costs at least its lowest price for its quantity."""
    decision = _evaluate(campaigns, cart, facts)
    for line, decided in zip(cart.lines, decision.lines, strict=True):
        article = facts.articles.get(line.sku, engine.Article())
        floor = line.quantity_thousandths * article.floor_price_minor
        assert decided.total_minor * 1_000 >= min(floor, decided.amount_minor * 1_000)
        assert 0 <= decided.points_payment_minor <= decided.total_minor
        assert decided.points_earned >= 0


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts())
def test_caps_budgets_shares_and_balances_hold(campaigns, cart, facts):
    """No campaign takes off more than its bounds, no points pay more than they may."""
    decision = _evaluate(campaigns, cart, facts)
    rules = {one.campaign_id: one.rules for one in campaigns}
    for outcome in decision.outcomes:
        if outcome.reason is not _APPLIED:
            continue
        campaign = rules[outcome.campaign_id]
        if campaign.rewards and all(reward.amount_max for reward in campaign.rewards):
            given_in_all = outcome.discount_minor + outcome.points
            assert given_in_all <= sum(reward.amount_max for reward in campaign.rewards)
        if campaign.limits.budget_minor:
            left = facts.remaining[outcome.campaign_id].budget_minor
            assert left is not None
            assert outcome.discount_minor <= left
    for charge in decision.charges:
        discounts = {one.campaign_id: one.discount_minor for one in decision.outcomes}
        assert charge.budget_minor in {0, discounts[charge.campaign_id]}
    terms = facts.terms
    assert decision.points_payment_minor <= decision.points_payment_max_minor
    assert decision.points_payment_minor <= cart.points_payment_minor
    assert decision.points_payment_minor % terms.point_value_minor == 0
    prices = sum(one.spent for one in decision.stamp_moves if one.card == engine.POINTS_CARD)
    held = (facts.member and facts.member.points_balance) or 0
    assert decision.points_spent + prices <= held
    share = terms.payment_share_max_basis_points
    assert decision.points_payment_max_minor * 10_000 <= decision.total_minor * share


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts(), st.randoms(use_true_random=False))
def test_order_of_lines_campaigns_and_codes_changes_nothing(campaigns, cart, facts, chance):
    """Scanning in another order gives the same sums, outcomes and messages."""
    shuffled_lines, shuffled_campaigns = list(cart.lines), list(campaigns)
    chance.shuffle(shuffled_lines)
    chance.shuffle(shuffled_campaigns)
    shuffled = dataclasses.replace(cart, lines=tuple(shuffled_lines))
    one = _evaluate(campaigns, cart, facts)
    other = _evaluate(shuffled_campaigns, shuffled, facts)
    assert _sums(one) == _sums(other)


@_thorough
@given(samples.rulebooks(), samples.carts(whole_units=True), samples.facts(), st.data())
def test_splitting_and_merging_equal_lines_changes_nothing(campaigns, cart, facts, data):
    """Three units on one line get what one unit on each of three lines gets."""
    split = []
    for line in cart.lines:
        rest = line.quantity_thousandths // 1_000
        while rest:
            units = data.draw(st.integers(1, rest))
            name = f"{line.line_id}-{rest}"
            split.append(line._replace(line_id=name, quantity_thousandths=units * 1_000))
            rest -= units
    one = _evaluate(campaigns, cart, facts)
    other = _evaluate(campaigns, dataclasses.replace(cart, lines=tuple(split)), facts)
    assert _sums(one) == _sums(other)


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts(), st.sampled_from(engine.Explain))
def test_same_arguments_give_the_same_bytes(campaigns, cart, facts, explain):
    """A second evaluation, from facts that were stored and read again, is the same text."""
    ruleset = engine.compile(campaigns, version=1)
    stored = json.loads(json.dumps(engine.dump_facts(facts)))
    again = engine.load_facts(stored)
    assert again == facts
    one = engine.evaluate(ruleset, cart, facts, now=samples.NOW, explain=explain)
    other = engine.evaluate(ruleset, cart, again, now=samples.NOW, explain=explain)
    assert repr(one).encode() == repr(other).encode()


@_thorough
@given(
    samples.rulebooks(lanes=(engine.Lane.ITEM,), groups=("best",)),
    samples.carts(),
    samples.facts(),
)
def test_one_more_campaign_in_an_exclusive_group_never_raises_the_price(campaigns, cart, facts):
    """Inside one exclusive group a new campaign helps the shopper or changes nothing.

    As long as the best of them is chosen, and nothing else ties them together. A gift counts for
    what it is worth.
    """
    cart = dataclasses.replace(cart, codes_all_or_none=False)
    plain = engine.Combination(engine.Lane.ITEM, "best")
    campaigns = [
        dataclasses.replace(
            one,
            rules=dataclasses.replace(
                one.rules,
                combination=dataclasses.replace(plain, priority=one.rules.combination.priority),
            ),
        )
        for one in campaigns
    ]
    totals = [
        decision.total_minor - sum(one.units * one.value_minor for one in decision.gifts)
        for count in range(len(campaigns) + 1)
        for decision in [_evaluate(campaigns[:count], cart, facts)]
    ]
    assert totals == sorted(totals, reverse=True)


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts())
def test_every_campaign_answers_when_asked_for_all(campaigns, cart, facts):
    """With FULL each campaign answers once, and candidates answer as they do without."""
    full = _evaluate(campaigns, cart, facts, explain=engine.Explain.FULL)
    known = [one for one in full.outcomes if one.campaign_id]
    assert sorted(one.campaign_id for one in known) == sorted(one.campaign_id for one in campaigns)
    candidates = _evaluate(campaigns, cart, facts)
    assert set(candidates.outcomes) <= set(full.outcomes)
    assert dataclasses.replace(full, outcomes=(), messages=()) == dataclasses.replace(
        candidates, outcomes=(), messages=()
    )


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts())
def test_every_presented_code_answers(campaigns, cart, facts):
    """A code is applied, refused with a reason, or unknown; never silent."""
    decision = _evaluate(campaigns, cart, facts)
    answered = {dict(one.details).get("code", "").upper() for one in decision.outcomes}
    assert {code.upper() for code in cart.coupon_codes} <= answered


@_thorough
@given(samples.rulebooks(), samples.carts(), samples.facts())
def test_what_is_taken_was_asked_for(campaigns, cart, facts):
    """Whatever a decision takes from the ledger is among the needs that were named before."""
    ruleset = engine.compile(campaigns, version=1)
    blank = dataclasses.replace(facts, remaining={})
    needs = engine.find_needs(ruleset, cart, blank, now=samples.NOW)
    asked = {need.campaign_id: need for need in needs.limits}
    for charge in engine.evaluate(ruleset, cart, facts, now=samples.NOW).charges:
        need = asked[charge.campaign_id]
        assert (need.uses, need.member_uses) == (charge.uses > 0, charge.member_uses)
        assert not charge.units or need.units or need.article_units or need.member_units
        assert need.coupons == charge.personal
        assert need.budget or not charge.budget_minor  # a gift that is added draws on no budget
