"""Chances of winning at once: how many a cart has, what they win, and how lies are found out."""

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.promotions import engine
from services.promotions.engine import OutcomeReason, instant_wins
from tests.unit.promotions import samples

NAME = "cmp_" + "0" * 32
SEED = bytes(range(32))
START = datetime(2026, 3, 1, tzinfo=UTC)
PERIOD = engine.Period(START, START + timedelta(days=30))
CUP = engine.InstantPrize(engine.Text("A cup", "Кружка"), 100, 4)
CAR = engine.InstantPrize(engine.Text("A car"), 2, 10, 50_000)
ONCE, EACH_STEP = engine.PointsSpread.ONCE, engine.PointsSpread.EACH_STEP


def _win(*prizes, **fields):
    fields = {"period": PERIOD, "spread": ONCE, **fields}
    return engine.InstantWin(prizes or (CUP,), **fields)


def _terms(*prizes, **fields):
    return instant_wins.Terms(NAME, _win(*prizes, **fields))


def _sell(win, *prices, member=None, hands_out=True, now=samples.NOW, **rules):
    campaign = engine.Rules(
        title=engine.Text("Win"),
        rewards=(engine.Reward(win),),
        combination=engine.Combination(engine.Lane.EARN),
        **rules,
    )
    ruleset = engine.compile([engine.Campaign(NAME, 1, campaign)], version=1)
    lines = tuple(
        engine.CartLine(str(place), f"sku{place}", 1_000, price)
        for place, price in enumerate(prices)
    )
    cart = engine.Cart("s1", engine.Channel.TILL, "USD", lines)
    facts = engine.Facts(engine.Store(), {}, member=member, hands_out=hands_out)
    return engine.evaluate(ruleset, cart, facts, now=now)


# How many chances a cart has


@pytest.mark.parametrize(
    ("fields", "prices", "number"),
    [
        ({}, (100, 100), 1),
        ({"spread": engine.PointsSpread.EACH_UNIT}, (100, 100), 2),
        ({"spread": EACH_STEP, "step_minor": 150}, (100, 500), 4),
        ({"spread": EACH_STEP, "step_minor": 150, "chances_max": 3}, (100, 500), 3),
        ({"spread": EACH_STEP, "step_minor": 1}, (500,), 20),
    ],
)
def test_a_cart_has_so_many_chances(fields, prices, number):
    """The decision says how many, the trace too, and nothing of what they win."""
    sold = _sell(_win(**fields), *prices)
    assert sold.instant_chances == (engine.InstantChances(NAME, number),)
    assert sold.instant_draws == ()
    (outcome,) = sold.outcomes
    assert (outcome.reason, outcome.points) == (OutcomeReason.APPLIED, 0)
    assert outcome.details == (("chances", str(number)),)


@pytest.mark.parametrize(
    ("fields", "prices", "reason"),
    [
        ({"spread": EACH_STEP, "step_minor": 150}, (149,), OutcomeReason.NO_BENEFIT),
        ({"period": engine.Period(START, samples.NOW)}, (100,), OutcomeReason.EXPIRED),
    ],
)
def test_a_cart_without_a_chance_says_why(fields, prices, reason):
    """Too little for a step, or too late."""
    sold = _sell(_win(**fields), *prices)
    assert sold.instant_chances == ()
    told = {one.reason for one in sold.outcomes}
    assert told <= {reason}


def test_the_first_instant_of_the_period_counts_and_the_last_does_not():
    """Also where the campaign itself lives longer."""
    moments = (PERIOD.start_time, PERIOD.end_time - timedelta(microseconds=1))
    assert all(_sell(_win(), 100, now=moment).instant_chances for moment in moments)
    outside = (PERIOD.start_time - timedelta(microseconds=1), PERIOD.end_time)
    assert not any(_sell(_win(), 100, now=moment).instant_chances for moment in outside)
    shorter = engine.Validity(end_time=PERIOD.start_time + timedelta(days=1))
    assert not _sell(_win(), 100, validity=shorter).instant_chances


def test_prizes_of_points_are_for_members():
    """Others have nowhere to put them; prizes that are handed over are for everybody."""
    member = engine.Member("mem_1", points_balance=0)
    assert _sell(_win(CUP), 100).instant_chances
    assert not _sell(_win(CUP, CAR), 100).instant_chances
    assert _sell(_win(CUP, CAR), 100, member=member).instant_chances


def test_where_nothing_is_handed_out_there_is_no_chance():
    """While somebody is away, and at tills without a line; the trace says so."""
    sold = _sell(_win(), 100, hands_out=False)
    assert (sold.instant_chances, sold.messages) == ((), ())
    assert [one.reason for one in sold.outcomes] == [OutcomeReason.DEPENDENCY_UNAVAILABLE]


@pytest.mark.parametrize(
    ("number", "en", "ru"),
    [
        (1, "1 chance of winning at once", "1 шанс на мгновенный выигрыш"),
        (3, "3 chances of winning at once", "3 шанса на мгновенный выигрыш"),
        (5, "5 chances of winning at once", "5 шансов на мгновенный выигрыш"),
    ],
)
def test_chances_are_announced(number, en, ru):
    """On the receipt, in both languages."""
    (told,) = _sell(_win(spread=EACH_STEP, step_minor=100), 100 * number).messages
    assert (told.audience, told.text) == (
        engine.MessageAudience.RECEIPT,
        engine.Text(en, ru),
    )


def test_a_win_is_told_to_who_hands_it_over():
    """And on the receipt; points are handed over by nobody."""
    handed = engine.tell_win(NAME, CUP.title, is_handed_over=True)
    assert [(one.audience.name, one.text.ru) for one in handed] == [
        ("CASHIER", "Покупатель выиграл, вручите приз: Кружка"),
        ("RECEIPT", "Вы выиграли: Кружка"),
    ]
    back = engine.tell_withdrawal(NAME, CUP.title)
    assert (back.audience, back.campaign_id) == (engine.MessageAudience.CASHIER, NAME)
    assert back.text.en == f"Ask for the prize back: {CUP.title.en}"
    assert back.text.ru == f"Попросите вернуть приз: {CUP.title.pick('ru')}"
    points = engine.tell_win(NAME, CAR.title, is_handed_over=False)
    assert [(one.audience.name, one.text.en) for one in points] == [
        ("RECEIPT", "You have won: A car")
    ]


# What chances win


def test_a_chance_is_the_number_that_the_guide_says():
    """Computed here by hand, from seed, receipt and number alone."""
    for number in range(1, 50):
        digest = hashlib.sha256(SEED + f"rcp_1/{number}".encode()).digest()
        share = Fraction(int.from_bytes(digest, "big"), 1 << 256)
        expected = None
        if share < Fraction(1, 4):
            expected = 0
        elif share < Fraction(1, 4) + Fraction(1, 10):
            expected = 1
        assert instant_wins.draw(SEED, [4, 10], receipt_id="rcp_1", number=number) == expected


def test_odds_are_what_they_say():
    """Of 20,000 chances about a fourth and a tenth win; some seed must not be a bad day."""
    won = Counter(
        instant_wins.draw(SEED, [4, 10], receipt_id=f"rcp_{place}", number=1)
        for place in range(20_000)
    )
    assert abs(won[0] - 5_000) < 250
    assert abs(won[1] - 2_000) < 170


@given(st.binary(min_size=32, max_size=32), st.text(max_size=9), st.integers(1, 20))
def test_odds_of_one_leave_nothing(seed, receipt_id, number):
    """Every chance wins something; other seeds and receipts decide for themselves."""
    assert instant_wins.draw(seed, [1], receipt_id=receipt_id, number=number) == 0
    halves = instant_wins.draw(seed, [2, 2], receipt_id=receipt_id, number=number)
    assert halves in {0, 1}


def test_a_drawn_chance_knows_its_prize_and_where_it_is_kept():
    """Each prize of each terms has an account of its own."""
    terms = _terms(CUP, CAR)
    drawn = instant_wins.draw_all(SEED, terms, receipt_id="rcp_1", count=60)
    assert [one.number for one in drawn] == list(range(1, 61))
    for one in drawn:
        if one.prize_index is None:
            assert (one.title, one.points, one.account_id) == (engine.Text(""), 0, "")
            continue
        prize = terms.win.prizes[one.prize_index]
        assert (one.title, one.points) == (prize.title, prize.points)
        assert instant_wins.parse_account(one.account_id) == (NAME, one.prize_index)
    assert {one.prize_index for one in drawn} == {None, 0, 1}
    other = instant_wins.find_account(_terms(replace(CUP, count=101), CAR), 0)
    assert other != instant_wins.find_account(terms, 0)


@given(
    st.integers(1, 5_000),
    st.integers(1, 400 * 86_400),
    st.integers(-86_400, 500 * 86_400),
)
def test_prizes_come_out_evenly(count, seconds, moment):
    """All of them by the end, the first at the beginning, in at most 366 portions."""
    period = engine.Period(START, START + timedelta(seconds=seconds))
    portions = list(instant_wins.portions(count, period=period))
    assert sum(share for _, share in portions) == count
    assert len(portions) == min(count, 366)
    assert portions[0][0] == period.start_time
    assert all(period.start_time <= when < period.end_time for when, _ in portions)
    assert min(share for _, share in portions) >= 1
    assert max(share for _, share in portions) - min(share for _, share in portions) <= 1
    when = START + timedelta(seconds=moment)
    out = instant_wins.released(count, when, period=period)
    passed = min(max(Fraction(moment, seconds), Fraction(0)), Fraction(1))
    assert count * passed - 1 <= out if moment >= 0 else out == 0
    assert out <= count


@given(
    st.builds(
        engine.InstantPrize,
        st.builds(engine.Text, st.text(max_size=20), st.text(max_size=20)),
        st.integers(1, 10**6),
        st.integers(1, 10**12),
        st.integers(0, 10**9),
    )
)
def test_sealed_terms_are_read_as_they_were_written(prize):
    """Whatever a prize is called."""
    terms = _terms(prize, CUP, spread=EACH_STEP, step_minor=100, chances_max=5)
    text = instant_wins.write_terms(terms)
    assert instant_wins.read_terms(text) == terms
    assert instant_wins.write_terms(instant_wins.read_terms(text)) == text


def test_the_seed_is_told_after_the_last_draw():
    """With time in between for clocks that are wrong, also at the end of all days."""
    terms = _terms()
    assert PERIOD.end_time < terms.drawn_until < terms.told_from
    last = engine.Period(START, datetime.max.replace(tzinfo=UTC))
    assert _terms(period=last).told_from == last.end_time


# How lies are found out


TERMS = _terms(CUP, replace(CAR, count=1))
TEXT = instant_wins.write_terms(TERMS)
SEALED = instant_wins.seal(SEED, TEXT)


def _told(count=60):
    """Return an honest list: one car is there, so only the first that draws it has it."""
    told, cars = [], 0
    for place in range(count):
        drawn = instant_wins.draw_all(SEED, TERMS, receipt_id=f"rcp_{place}", count=1)
        for one in drawn:
            gone = one.prize_index == 1 and cars > 0
            cars += one.prize_index == 1
            told.append(
                instant_wins.Told(
                    f"rcp_{place}",
                    START + timedelta(hours=place),
                    one.number,
                    one.prize_index,
                    given=one.prize_index is not None and not gone,
                    gone=gone,
                )
            )
    return told


def _verify(told, *, seed=SEED, sealed=SEALED, text=TEXT):
    return instant_wins.verify(seed=seed, sealed=sealed, text=text, told=told)


def _first(told, index):
    return next(place for place, one in enumerate(told) if one.prize_index == index)


def test_an_honest_list_is_right():
    """It has chances of every kind."""
    told = _told()
    assert {one.prize_index for one in told} == {None, 0, 1}
    assert any(one.gone for one in told)
    assert _verify(told) == []


def test_another_seed_or_other_terms_are_found_out():
    """Nothing else is asked then."""
    wrong = ["seed and terms are not those that were sealed"]
    assert _verify(_told(), seed=bytes(32)) == wrong
    assert _verify(_told(), text=TEXT.replace('"one_in":4', '"one_in":5')) == wrong


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told.__setitem__(0, replace(told[0], number=2)), "not numbered from 1"),
        (lambda told: told.append(told[0]), "not numbered from 1"),
        (
            lambda told: told.__setitem__(
                _first(told, None), replace(told[_first(told, None)], prize_index=0, given=True)
            ),
            "wins nothing, and was told prize 0",
        ),
        (
            lambda told: told.__setitem__(
                _first(told, 0), replace(told[_first(told, 0)], prize_index=None, given=False)
            ),
            "wins prize 0, and was told nothing",
        ),
        (
            lambda told: told.__setitem__(
                _first(told, 0), replace(told[_first(told, 0)], given=False)
            ),
            "it is not told what became of prize 0",
        ),
        (
            lambda told: told.__setitem__(
                _first(told, 0),
                replace(told[_first(told, 0)], given=False, gone=True, record_time=PERIOD.end_time),
            ),
            "prize 0 was refused, and only",
        ),
        (
            lambda told: told.__setitem__(
                slice(None), [replace(one, given=one.given or one.gone, gone=False) for one in told]
            ),
            "prize 1: ",
        ),
    ],
)
def test_a_list_that_was_touched_is_found_out(change, said):
    """With the receipt or the prize that it is about."""
    told = _told()
    change(told)
    assert any(said in problem for problem in _verify(told)), _verify(told)


# What cannot go live


@pytest.mark.parametrize(
    ("win", "rules", "field"),
    [
        (_win(CUP, CAR), {}, None),
        (engine.InstantWin((), PERIOD, ONCE), {}, "rewards[0].instant_win.prizes"),
        (_win(*[replace(CUP, one_in=99)] * 21), {}, "rewards[0].instant_win.prizes"),
        (_win(replace(CUP, one_in=1), CAR), {}, "rewards[0].instant_win.prizes"),
        (_win(replace(CUP, count=0)), {}, "rewards[0].instant_win.prizes[0].count"),
        (_win(replace(CUP, one_in=0)), {}, "rewards[0].instant_win.prizes[0].one_in"),
        (_win(replace(CUP, points=-1)), {}, "rewards[0].instant_win.prizes[0].points"),
        (
            _win(replace(CUP, title=engine.Text(""))),
            {},
            "rewards[0].instant_win.prizes[0].title.en",
        ),
        (_win(period=engine.Period(START, START)), {}, "rewards[0].instant_win.period"),
        (_win(chances_max=21), {}, "rewards[0].instant_win.chances_max"),
        (_win(spread=EACH_STEP), {}, "rewards[0].instant_win.step_minor"),
        (_win(step_minor=5), {}, "rewards[0].instant_win.step_minor"),
        (_win(), {"rewards": (engine.Reward(_win()),) * 2}, "rewards"),
        (_win(), {"rewards": (engine.Reward(_win(), amount_max=3),)}, "rewards"),
        (
            _win(),
            {"combination": engine.Combination(engine.Lane.RECEIPT)},
            "rewards[0].instant_win",
        ),
        (_win(), {"stamp_price": engine.StampPrice("coffee", 3)}, "stamp_price"),
        (_win(), {"points_price": engine.PointsPrice(3)}, "points_price"),
        (
            _win(),
            {
                "rewards": (),
                "scale": engine.Scale(
                    engine.ScaleMeasure.AMOUNT, (engine.Step(1, (engine.Reward(_win()),)),)
                ),
            },
            "scale",
        ),
    ],
)
def test_what_cannot_work_names_its_field(win, rules, field):
    """Before it goes live."""
    fields = {
        "title": engine.Text("Win"),
        "rewards": (engine.Reward(win),),
        "combination": engine.Combination(engine.Lane.EARN),
        **rules,
    }
    found = [one.field for one in engine.find_problems(engine.Rules(**fields))]
    assert found == ([] if field is None else [field])


def test_what_is_sealed_does_not_change():
    """Chances may be added to a live campaign; then they stay as they are."""

    def rules(*kinds, title="Win"):
        return engine.Rules(
            title=engine.Text(title),
            rewards=tuple(map(engine.Reward, kinds)),
            combination=engine.Combination(engine.Lane.EARN),
        )

    plain = rules(engine.EarnPoints(1, ONCE))
    sealed = rules(_win())
    for before, after, fields in (
        (plain, sealed, []),
        (sealed, rules(_win(), title="Win more"), []),
        (sealed, plain, ["rewards"]),
        (sealed, rules(_win(replace(CUP, one_in=5))), ["rewards"]),
        (sealed, rules(_win(period=engine.Period(START, samples.NOW))), ["rewards"]),
    ):
        found = engine.find_succession_problems(before, after)
        assert [one.field for one in found] == fields
