"""Secret codes call the campaign that they were printed for, whoever shows them."""

import json
from dataclasses import replace

import pytest

from services.promotions import engine
from services.promotions.engine import OutcomeReason
from tests.unit.promotions import samples

NAME, OTHER = "cmp_personal", "cmp_other"
MEMBER = engine.Member("mem_1", points_balance=0)


def _campaign(name, *codes, personal=True):
    rules = engine.Rules(
        title=engine.Text("Half"),
        trigger=engine.CouponTrigger(codes=codes, personal=personal),
        rewards=(engine.Reward(engine.PercentOff(5_000)),),
        combination=engine.Combination(engine.Lane.ITEM),
    )
    return engine.Campaign(name, 1, rules)


RULESET = engine.compile(
    [_campaign(NAME, "HALF", "HALF2"), _campaign(OTHER, "ALL", personal=False)], version=1
)


def _sell(*codes, member=None, coupons=1, bearer=("SECRET",), **wishes):
    line = engine.CartLine("1", "cup", 2_000, 100)
    cart = engine.Cart("s1", engine.Channel.TILL, "USD", (line,), coupon_codes=codes, **wishes)
    bearers = {NAME: engine.Bearer("cpn_1", bearer)} if bearer else {}
    remaining = {NAME: engine.Remaining(coupons=coupons)}
    facts = engine.Facts(engine.Store(), {}, member=member, remaining=remaining, bearers=bearers)
    return cart, facts, engine.evaluate(RULESET, cart, facts, now=samples.NOW)


@pytest.mark.parametrize("member", [None, MEMBER], ids=["nobody", "member"])
@pytest.mark.parametrize("code", ["SECRET", "secret"])
def test_a_bearers_code_is_worth_its_campaign(member, code):
    """To members and to whoever else has it; the charge says which coupon is burnt."""
    cart, facts, sold = _sell(code, member=member)
    assert sold.discount_minor == 100
    (charge,) = sold.charges
    assert (charge.campaign_id, charge.personal, charge.coupon_id) == (NAME, True, "cpn_1")
    (need,) = engine.find_needs(RULESET, cart, facts, now=samples.NOW).limits
    assert (need.campaign_id, need.coupons) == (NAME, True)


@pytest.mark.parametrize("member", [None, MEMBER], ids=["nobody", "member"])
def test_a_used_code_is_worth_nothing(member):
    """And the cashier is told so."""
    _, _, sold = _sell("SECRET", member=member, coupons=0)
    assert (sold.discount_minor, sold.charges) == (0, ())
    assert [one.reason for one in sold.outcomes] == [OutcomeReason.COUPON_NOT_HELD]


def test_a_public_code_is_no_bearers():
    """Whoever is nobody does not hold a personal coupon by knowing its campaign's code."""
    _, _, sold = _sell("HALF", bearer=())
    assert [one.reason for one in sold.outcomes] == [OutcomeReason.COUPON_NOT_HELD]
    _, _, sold = _sell("NONSENSE", bearer=())
    assert [one.reason for one in sold.outcomes] == [OutcomeReason.UNKNOWN_CODE]


def test_a_code_that_nobody_could_be_asked_of_is_not_said_to_be_unknown():
    """The shopper may well have a coupon: nothing may say that there is none."""
    cart, facts, _ = _sell("SECRET", "ALL2", bearer=())
    facts = replace(facts, codes_answered=False)
    kept = engine.load_facts(json.loads(json.dumps(engine.dump_facts(facts))))
    assert not kept.codes_answered
    sold = engine.evaluate(RULESET, cart, kept, now=samples.NOW)
    assert [(one.reason, one.details) for one in sold.outcomes] == [
        (OutcomeReason.DEPENDENCY_UNAVAILABLE, (("code", "ALL2"),)),
        (OutcomeReason.DEPENDENCY_UNAVAILABLE, (("code", "SECRET"),)),
    ]
    said = [one.text.pick("en") for one in sold.messages]
    assert said == [
        f"Coupon {code} cannot be used: it cannot be checked now" for code in ("ALL2", "SECRET")
    ]


def test_facts_of_earlier_days_say_that_codes_were_asked_of():
    """They were kept before anybody noted it."""
    _, facts, _ = _sell("SECRET")
    plain = engine.dump_facts(replace(facts, codes_answered=False))
    del plain["codes_answered"]
    assert engine.load_facts(plain) == facts


def test_all_codes_or_none_counts_a_bearers_code_as_useful():
    """It takes nothing from the others."""
    _, _, sold = _sell("SECRET", codes_all_or_none=True)
    assert sold.discount_minor == 100
    _, _, sold = _sell("SECRET", "NONSENSE", codes_all_or_none=True)
    assert sold.discount_minor == 0


def test_kept_facts_decide_and_return_the_same():
    """The receipt's cart has the secret code; its facts say whose it is."""
    cart, facts, sold = _sell("SECRET")
    kept = engine.load_facts(json.loads(json.dumps(engine.dump_facts(facts))))
    assert kept == facts
    assert engine.evaluate(RULESET, cart, kept, now=samples.NOW) == sold
    part = engine.price_return(RULESET, cart, kept, sold, now=samples.NOW, returned={"1": 1_000})
    assert part.remaining is not None
    assert (part.refund_minor, part.remaining.discount_minor) == (50, 50)


def test_a_till_that_decided_by_itself_burns_the_same_coupon():
    """What it takes is weighed from its lines."""
    cart, facts, sold = _sell("SECRET")
    gone = replace(facts, remaining={NAME: engine.Remaining(coupons=0)})
    claim = engine.weigh(RULESET, cart, gone, sold.lines, now=samples.NOW)
    assert claim.charges == sold.charges


def test_only_codes_that_no_campaign_has_are_asked_about():
    """Each once, in order; codes of campaigns that are not live answer for themselves."""
    ruleset = engine.compile(RULESET.campaigns, version=1, inactive=[_campaign("cmp_old", "OLD")])
    cart, _, _ = _sell("half", "b", "ALL", "B", "old", "a")
    assert engine.unknown_codes(ruleset, cart.coupon_codes) == ("B", "A")
    assert engine.answers_to_bearers(ruleset, NAME)
    assert not engine.answers_to_bearers(ruleset, OTHER)
    assert not engine.answers_to_bearers(ruleset, "cmp_old")
