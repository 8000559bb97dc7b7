"""What purchases and returns move in the ledger."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.ledger.v1 import account_pb2, batch_pb2, error_reason_pb2

from services.promotions import engine, errors
from services.promotions.wire import batches

TERMS = batches.Terms(
    points_asset="points",
    currency_code="EUR",
    zone=ZoneInfo("Europe/Moscow"),
    points=engine.PointsTerms(point_value_minor=5, point_units=2),
)
NOW = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)


def ruleset(*campaign_ids):
    rules = engine.Rules(
        title=engine.Text("t"),
        rewards=(engine.Reward(engine.PercentOff(100)),),
        combination=engine.Combination(engine.Lane.ITEM),
        limits=engine.Limits(uses_per_member_max=3),
    )
    return engine.compile(
        [engine.Campaign(campaign_id, 1, rules) for campaign_id in campaign_ids], version=1
    )


def decision(**fields):
    zero = dict.fromkeys(
        (
            "ruleset_version",
            "subtotal_minor",
            "discount_minor",
            "total_minor",
            "points_payment_minor",
            "points_payment_max_minor",
            "points_spent",
            "points_earned",
        ),
        0,
    )
    none = dict.fromkeys(("lines", "outcomes", "messages", "charges", "earnings"), ())
    return engine.Decision(**{**zero, **none, **fields})


def charge(campaign_id, *, personal=False, uses=False, member_uses=False, budget_minor=0, units=()):
    return engine.Charge(
        campaign_id=campaign_id,
        code="",
        personal=personal,
        uses=int(uses),
        units=units,
        member_uses=member_uses,
        budget_minor=budget_minor,
    )


def build(made, *campaign_ids):
    return batches.build_purchase(
        made,
        ruleset=ruleset(*campaign_ids),
        member_id="mem_1",
        store_id="7",
        occurred_time=NOW,
        terms=TERMS,
    )


def test_a_partners_store_gives_points_out_and_takes_them_in():
    """On the partner's account; other stores' points come from the outside and go there."""
    made = decision(points_spent=40, earnings=(engine.Earning("c3", 9, 0),))
    terms = replace(TERMS, partners={"7": "fuel"})
    owners = {}
    for store_id in ("7", "8"):
        spent, earned = batches.build_purchase(
            made,
            ruleset=ruleset("c3"),
            member_id="mem_1",
            store_id=store_id,
            occurred_time=NOW,
            terms=terms,
        )
        owners[store_id] = [
            (owner.owner_type, owner.owner_id)
            for owner in (spent.transfer.credit, earned.transfer.debit)
        ]
    partner, world = account_pb2.OWNER_TYPE_PARTNER, account_pb2.OWNER_TYPE_WORLD
    assert owners == {
        "7": [(partner, "fuel"), (partner, "fuel")],
        "8": [(world, "redemption"), (world, "issuance")],
    }


def test_a_purchase_moves_in_a_fixed_order():
    """Coupons, uses, budgets, points spent, points earned."""
    operations = build(
        decision(
            charges=(
                charge("c1", uses=True, member_uses=True, budget_minor=70),
                charge("c2", personal=True),
            ),
            points_spent=40,
            earnings=(engine.Earning("c3", 9, 0), engine.Earning("c4", 1, 10)),
        ),
        "c1",
        "c2",
    )
    told = [
        (one.transfer.asset_code, one.transfer.debit.owner_id, one.transfer.credit.owner_id)
        for one in operations
    ]
    assert told == [
        ("coupon.c2", "mem_1", "redemption"),
        ("uses", "counting", "c1"),
        ("use.c1.3", "counting", "mem_1"),
        ("budget.EUR", "c1", "discounts"),
        ("points", "mem_1", "redemption"),
        ("points", "issuance", "mem_1"),
        ("points", "issuance", "mem_1"),
    ]
    assert [one.transfer.amount for one in operations] == [1, 1, 1, 70, 40, 9, 1]
    assert not operations[5].transfer.HasField("lot_expire_time")
    # The purchase is on 2 March in Moscow; ten days later is the 12th, to its end.
    expires = operations[6].transfer.lot_expire_time.ToDatetime(tzinfo=UTC)
    assert expires == datetime(2026, 3, 12, 21, 0, tzinfo=UTC)


def test_a_purchase_without_value_moves_nothing():
    """And needs no ledger."""
    assert build(decision()) == []


def test_more_than_a_batch_holds_is_refused():
    """Two hundred campaigns on one receipt are beyond counting."""
    made = decision(earnings=tuple(engine.Earning(f"c{n}", 1, 0) for n in range(201)))
    with pytest.raises(errors.AmountOutOfRange):
        build(made)


def test_undoing_gives_first_and_takes_then():
    """Points that were spent come back before earned ones are taken, as far as they are there."""
    bought = batch_pb2.Batch(batch_id="bat_1", operations=build(SALE, "c1"))
    undo = [one.reversal for one in batches.build_undo(bought, [1, 70, 40, 9, 1], owes=False)]
    assert [one.operation_index for one in undo] == [0, 1, 2, 3, 4]
    refuse, available = batch_pb2.SHORTFALL_REFUSE, batch_pb2.SHORTFALL_TAKE_AVAILABLE
    assert [one.shortfall for one in undo] == [refuse, refuse, refuse, available, available]
    assert {one.batch_id for one in undo} == {"bat_1"}


SALE = decision(
    charges=(charge("c1", uses=True, budget_minor=70),),
    points_spent=40,
    earnings=(engine.Earning("c3", 9, 0), engine.Earning("c4", 1, 0)),
)
MOVED = (1, 70, 40, 9, 1)


def give_back(*, restored=0, clawed_back=0, losses=None, complete=False, undone=None):
    bought = batch_pb2.Batch(batch_id="bat_1", operations=build(SALE, "c1"))
    value = batches.ReturnedValue(
        points_restored=restored,
        points_clawed_back=clawed_back,
        losses=losses or {},
        complete=complete,
    )
    operations = batches.build_return(bought, MOVED, undone=undone or {}, value=value, owes=False)
    return [(one.reversal.operation_index, one.reversal.amount) for one in operations]


@pytest.mark.parametrize(
    ("owes", "shortfall"),
    [(True, batch_pb2.SHORTFALL_DEBT), (False, batch_pb2.SHORTFALL_TAKE_AVAILABLE)],
)
def test_only_points_are_ever_owed(owes, shortfall):
    """Stamps and coupons that are gone are gone; what paid comes back as it was taken."""
    member = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id="mem_1")
    earned = [
        batch_pb2.Operation(
            transfer=batch_pb2.Transfer(
                asset_code=code,
                credit=member,
                amount=5,
                reason=account_pb2.TRANSFER_REASON_EARN,
                campaign_id="c1",
            )
        )
        for code in ("points", "stamps.coffee", "coupon.c2")
    ]
    bought = batch_pb2.Batch(batch_id="bat_1", operations=[*build(SALE, "c1"), *earned])
    moved = [*MOVED, 5, 5, 5]
    undo = batches.build_undo(bought, moved, owes=owes)
    value = batches.ReturnedValue(
        points_restored=40,
        points_clawed_back=15,
        losses={},
        complete=True,
        stamp_moves=[engine.StampMove("c1", "coffee", 5, 0)],
    )
    back = batches.build_return(bought, moved, undone={}, value=value, owes=owes)
    taken = batch_pb2.SHORTFALL_TAKE_AVAILABLE
    refuse = batch_pb2.SHORTFALL_REFUSE
    for operations in (undo, back):
        found = {one.reversal.operation_index: one.reversal.shortfall for one in operations}
        assert found == {
            **dict.fromkeys((0, 1, 2), refuse),
            **dict.fromkeys((3, 4, 5), shortfall),
            **dict.fromkeys((6, 7), taken),
        }


def test_what_is_lacking_is_forgiven_or_owed_by_what_was_asked_for():
    """Whatever the setting says by then."""

    def lacking(owes):
        bought = batch_pb2.Batch(batch_id="bat_1", operations=build(SALE, "c1"))
        undo = batch_pb2.Batch(operations=batches.build_undo(bought, MOVED, owes=owes))
        got = [1, 70, 40, 4, 1]
        settled = batches.settle_undo(undo, got)
        void = batches.find_unrecovered(bought, MOVED, undone=settled)
        return void, batches.find_shortfall(undo, got), batches.find_owed(undo, got)

    assert lacking(owes=False) == ((5, 0), 5, 0)
    assert lacking(owes=True) == ((0, 5), 0, 5)


def test_a_return_takes_points_from_the_campaign_that_gives_less():
    """And only what that does not cover from the others."""
    assert give_back(restored=10, clawed_back=4, losses={"c4": 1, "c3": 3}) == [
        (2, 10),
        (3, 3),
        (4, 1),
    ]
    assert give_back(clawed_back=3, losses={"c4": 1}) == [(3, 2), (4, 1)]
    assert give_back(clawed_back=1, losses={"c3": -5, "c4": 1}) == [(4, 1)]


def test_a_part_keeps_limits_and_the_whole_frees_them():
    """What earlier returns undid is not undone twice."""
    assert give_back(restored=30, clawed_back=10, undone={2: 10}) == [(2, 30), (3, 9), (4, 1)]
    whole = give_back(restored=30, clawed_back=5, complete=True, undone={2: 10, 3: 5})
    assert whole == [(0, 1), (1, 70), (2, 30), (3, 4), (4, 1)]


@given(
    clawed_back=st.integers(0, 10),
    losses=st.dictionaries(st.sampled_from(["c3", "c4", "c9"]), st.integers(-20, 20)),
)
def test_no_point_is_lost_or_taken_twice(clawed_back, losses):
    """Whatever the campaigns lose, exactly what is due is taken, from nobody more than it gave."""
    taken = dict(give_back(clawed_back=clawed_back, losses=losses))
    assert sum(taken.values()) == clawed_back
    assert all(0 < amount <= MOVED[index] for index, amount in taken.items())


def refusal(index, reason, **metadata):
    return batch_pb2.BatchRefusal(reason=reason, operation_index=index, metadata=metadata)


@pytest.mark.parametrize(
    ("index", "cause"), [(0, "USAGE_LIMIT_REACHED"), (1, "BUDGET_EXHAUSTED"), (4, None)]
)
def test_a_refusal_names_campaign_and_cause(index, cause):
    """The till evaluates again and knows which benefit is gone."""
    batch = batch_pb2.Batch(operations=build(SALE, "c1"))
    told = batches.explain_refusal(
        batch, refusal(index, error_reason_pb2.ERROR_REASON_CEILING_EXCEEDED), terms=TERMS
    )
    assert isinstance(told, errors.BenefitGone)
    assert told.fields["campaign_id"] == batch.operations[index].transfer.campaign_id
    assert told.fields["cause"] == (cause or "BALANCE_LIMIT_REACHED")


def test_missing_points_are_told_in_money():
    """Seven points are three steps of two, fifteen in money."""
    batch = batch_pb2.Batch(operations=build(SALE, "c1"))
    told = batches.explain_refusal(
        batch,
        refusal(2, error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS, available="7"),
        terms=TERMS,
    )
    assert told == errors.PointsPaymentTooHigh(max_minor=15)


def test_what_must_not_be_refused_is_no_answer_to_a_till():
    """A defect stays a defect."""
    batch = batch_pb2.Batch(operations=build(SALE, "c1"))
    reason = error_reason_pb2.ERROR_REASON_ASSET_NOT_FOUND
    assert batches.explain_refusal(batch, refusal(0, reason), terms=TERMS) is None


def test_shortfalls_and_undone_parts_add_up():
    """What returns asked for counts as undone; what they did not get is told."""
    operations = [
        batch_pb2.Operation(reversal=batch_pb2.Reversal(operation_index=index, amount=amount))
        for index, amount in ((2, 10), (3, 5))
    ]
    batch = batch_pb2.Batch(operations=operations)
    assert batches.find_shortfall(batch, [10, 2]) == 3
    assert batches.sum_undone([batch, batch]) == {2: 20, 3: 10}


def test_units_and_stamps_move_with_a_purchase():
    """Rewarded units are counted; stamps are taken before points and given after them."""
    limits = engine.Limits(units_max=9, units_per_article_max=5, units_per_member_max=4)
    rules = engine.Rules(
        title=engine.Text("t"),
        rewards=(engine.Reward(engine.PercentOff(100)),),
        combination=engine.Combination(engine.Lane.ITEM),
        limits=limits,
    )
    known = engine.compile([engine.Campaign("c1", 1, rules)], version=1)
    made = decision(
        charges=(replace(charge("c1", units=(("ale", 2), ("bun", 1))), member_units=True),),
        points_spent=40,
        earnings=(engine.Earning("c3", 9, 0),),
        stamp_moves=(engine.StampMove("c2", "coffee", 0, 9), engine.StampMove("c4", "tea", 2, 0)),
    )
    operations = batches.build_purchase(
        made,
        ruleset=known,
        member_id="mem_1",
        store_id="7",
        occurred_time=NOW,
        terms=TERMS,
    )
    told = [(one.transfer.asset_code, one.transfer.amount) for one in operations]
    assert told == [
        ("units", 3),
        ("unit.c1.4", 3),
        ("article.c1.5", 2),
        ("article.c1.5", 1),
        ("stamps.coffee", 9),
        ("points", 40),
        ("points", 9),
        ("stamps.tea", 2),
    ]
    owners = [one.transfer.credit.owner_id for one in operations[1:4]]
    assert owners[0] == "mem_1"
    assert len(set(owners)) == 3, "each article is counted alone"


def test_a_return_undoes_stamps_beside_points():
    """Earned stamps go as far as they are there, and do not count as points not recovered."""
    made = decision(
        earnings=(engine.Earning("c3", 9, 0),),
        stamp_moves=(engine.StampMove("c4", "tea", 2, 0), engine.StampMove("c2", "tea", 0, 5)),
    )
    bought = batch_pb2.Batch(batch_id="bat_1", operations=build(made))
    value = batches.ReturnedValue(
        points_restored=0,
        points_clawed_back=4,
        losses={},
        complete=False,
        stamp_moves=(engine.StampMove("c4", "tea", 1, 0), engine.StampMove("c2", "tea", 0, 5)),
    )
    operations = batches.build_return(bought, (5, 9, 2), undone={}, value=value, owes=False)
    undone = [(one.reversal.operation_index, one.reversal.amount) for one in operations]
    assert undone == [(0, 5), (1, 4), (2, 1)]
    batch = batch_pb2.Batch(operations=operations)
    assert batches.find_shortfall(batch, (5, 3, 0), others=1) == 1


def test_missing_stamps_name_their_campaign():
    """Somebody else has spent them meanwhile: evaluate again."""
    made = decision(stamp_moves=(engine.StampMove("c2", "tea", 0, 5),))
    batch = batch_pb2.Batch(operations=build(made))
    refusal = batch_pb2.BatchRefusal(
        operation_index=0, reason=error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS
    )
    told = batches.explain_refusal(batch, refusal, terms=TERMS)
    assert isinstance(told, errors.BenefitGone)
    assert told.fields == {"campaign_id": "c2", "cause": "STAMPS_MISSING"}


PRICED = decision(
    points_spent=40,
    stamp_moves=(engine.StampMove("c2", engine.POINTS_CARD, 0, 100),),
)


def test_a_price_in_points_goes_before_those_that_pay():
    """To the partner of the store, like them, but under the name of its campaign."""
    terms = replace(TERMS, partners={"7": "fuel"})
    operations = batches.build_purchase(
        PRICED,
        ruleset=ruleset(),
        member_id="mem_1",
        store_id="7",
        occurred_time=NOW,
        terms=terms,
    )
    told = [(one.transfer.asset_code, one.transfer.amount) for one in operations]
    assert told == [("points", 100), ("points", 40)]
    assert [one.transfer.campaign_id for one in operations] == ["c2", ""]
    price, payment = (one.transfer.credit for one in operations)
    assert price == payment


def test_a_price_in_points_comes_back_beside_what_paid():
    """Points that paid for goods do not come back as the price, nor the price as payment."""
    bought = batch_pb2.Batch(batch_id="bat_1", operations=build(PRICED))
    value = batches.ReturnedValue(
        points_restored=15, points_clawed_back=0, losses={}, complete=False
    )
    operations = batches.build_return(bought, (100, 40), undone={}, value=value, owes=False)
    assert [(one.reversal.operation_index, one.reversal.amount) for one in operations] == [(1, 15)]
    value = replace(value, points_restored=0, stamp_moves=PRICED.stamp_moves)
    operations = batches.build_return(bought, (100, 40), undone={}, value=value, owes=False)
    assert [(one.reversal.operation_index, one.reversal.amount) for one in operations] == [(0, 100)]
    assert batches.find_restored(bought, operations) == 0


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(
    ("card", "cause"), [(engine.POINTS_CARD, "POINTS_MISSING"), ("tea", "STAMPS_MISSING")]
)
def test_a_price_that_is_gone_names_its_campaign(card, cause, held):
    """In a purchase and in a reservation: evaluate again."""
    operations = build(decision(stamp_moves=(engine.StampMove("c2", card, 0, 5),)))
    if held:
        operations = batches.build_holds(operations, seconds=60)
    refusal = batch_pb2.BatchRefusal(
        operation_index=0, reason=error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS
    )
    told = batches.explain_refusal(batch_pb2.Batch(operations=operations), refusal, terms=TERMS)
    assert isinstance(told, errors.BenefitGone)
    assert told.fields == {"campaign_id": "c2", "cause": cause}


WINS = decision(
    earnings=(engine.Earning("c3", 9, 0),),
    instant_draws=(
        engine.Drawn("c9", 1),
        engine.Drawn("c9", 2, 0, engine.Text("Cup"), 0, "c9.x.0"),
        engine.Drawn("c9", 3, 1, engine.Text("Points"), 70, "c9.x.1"),
    ),
)


def _wins():
    return batch_pb2.Batch(batch_id="bat_1", operations=build(WINS, "c3"))


def _refusal(index, reason=error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS):
    return batch_pb2.BatchRefusal(reason=reason, operation_index=index)


def test_prizes_come_last_each_with_its_points():
    """Those that are handed over have none, and a chance without a prize moves nothing."""
    moved = [
        (one.transfer.asset_code, one.transfer.debit.owner_id, one.transfer.amount)
        for one in _wins().operations
    ]
    assert moved == [
        ("points", "issuance", 9),
        ("prizes", "c9.x.0", 1),
        ("prizes", "c9.x.1", 1),
        ("points", "issuance", 70),
    ]


@pytest.mark.parametrize(("index", "left"), [(1, [0, 2, 3]), (2, [0, 1])])
def test_a_prize_that_is_gone_takes_its_points_with_it(index, left):
    """Everything else of the purchase stays, in its order."""
    batch = _wins()
    rest = batches.without_prize(batch, index)
    assert list(rest.operations) == [batch.operations[place] for place in left]


def test_only_a_prize_that_is_not_there_is_gone():
    """Other refusals, and those of other operations, are what they always were."""
    batch = _wins()
    assert [batches.is_prize_gone(batch, _refusal(index)) for index in range(-1, 4)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    late = _refusal(1, error_reason_pb2.ERROR_REASON_OCCURRED_IN_FUTURE)
    assert not batches.is_prize_gone(batch, late)


def test_undoing_takes_points_of_prizes_and_gives_no_prize_back():
    """Nor uses of the campaign that gave the chance; those of others return."""
    made = replace(WINS, charges=(charge("c9", uses=True), charge("c3", uses=True)))
    batch = batch_pb2.Batch(batch_id="bat_1", operations=build(made, "c3", "c9"))
    kinds = [(one.transfer.asset_code, one.transfer.campaign_id) for one in batch.operations]
    moved = [one.transfer.amount for one in batch.operations]
    undo = batches.build_undo(batch, moved, owes=False, drawn={"c9"})
    assert [kinds[one.reversal.operation_index] for one in undo] == [
        ("uses", "c3"),
        ("points", "c3"),
        ("points", "c9"),
    ]
    value = batches.ReturnedValue(
        points_restored=0, points_clawed_back=9, losses={"c3": 9}, complete=True
    )
    back = batches.build_return(batch, moved, undone={}, value=value, owes=False, drawn={"c9"})
    assert [(kinds[one.reversal.operation_index], one.reversal.amount) for one in back] == [
        (("uses", "c3"), 1),
        (("points", "c3"), 9),
        (("points", "c9"), 70),
    ]
    part = replace(value, complete=False)
    some = batches.build_return(batch, moved, undone={}, value=part, owes=False, drawn={"c9"})
    assert [kinds[one.reversal.operation_index] for one in some] == [("points", "c3")]
    back_batch = batch_pb2.Batch(operations=back)
    assert batches.find_prize_shortfall(back_batch, (1, 9, 50), prizes=1) == (20, 0)
    assert batches.find_shortfall(back_batch, (1, 9, 50), others=1) == 0
    owing = batches.build_return(batch, moved, undone={}, value=value, owes=True, drawn={"c9"})
    owing_batch = batch_pb2.Batch(operations=owing)
    assert batches.find_prize_shortfall(owing_batch, (1, 9, 50), prizes=1) == (0, 20)
    assert batches.find_owed(owing_batch, (1, 9, 50)) == 20


def test_prizes_are_counted_where_they_came_from():
    """What did not move was not won."""
    assert batches.count_prizes(_wins(), (9, 1, 0, 0)) == {"c9.x.0": 1, "c9.x.1": 0}


@given(
    gave=st.lists(st.integers(0, 300), max_size=3),
    lacking=st.integers(0, 300),
    cash=st.integers(0, 300),
    cuts=st.lists(st.integers(1, 400), max_size=6),
)
def test_returns_give_back_what_was_paid_however_they_are_cut(gave, lacking, cash, cuts):
    """Cards get what they gave, the purse what it gave, and what nobody paid is given to nobody."""
    bought = batch_pb2.Batch(
        operations=[
            batch_pb2.Operation(transfer=batch_pb2.Transfer(asset_code="gift.EUR", amount=amount))
            for amount in gave
        ]
    )
    due = sum(gave) + lacking + cash
    before = refunded = 0
    for cut in [*cuts, due]:
        part = min(cut, due - before)
        lost = batches.find_not_refunded(
            bought,
            gave,
            paid_minor=sum(gave) + lacking,
            before_minor=before,
            refund_minor=part,
        )
        assert 0 <= lost <= part
        before, refunded = before + part, refunded + part - lost
    assert refunded == sum(gave) + cash
