"""The program is valid, varied, and means the same to the engine."""

import protovalidate
import pytest

from services.promotions import engine
from services.promotions.wire import rules as wire_rules
from tests.unit.demo.small_chain import START_TIME
from tools.demo import program
from tools.demo.coupons import Coupons
from tools.demo.program import Offer


@pytest.fixture(scope="module")
def offers(planned_coupons: Coupons) -> list[Offer]:
    return program.write(START_TIME, planned_coupons.offers)


def test_the_contract_accepts_every_campaign(offers: list[Offer]) -> None:
    """No rule breaks a bound of the contract, and no name is used twice."""
    for offer in offers:
        protovalidate.validate(offer.rules)
    assert len({offer.key for offer in offers}) == len(offers)
    assert len({offer.rules.title.en for offer in offers}) == len(offers)


def test_the_program_compiles(offers: list[Offer]) -> None:
    """The engine finds no problem, and no code that two campaigns claim."""
    campaigns = [
        engine.Campaign(offer.key, 1, wire_rules.parse_rules(offer.rules)) for offer in offers
    ]
    assert engine.compile(campaigns, version=1).version == 1


def test_there_are_at_least_eight_kinds(offers: list[Offer]) -> None:
    """Different rewards, triggers, conditions, audiences, hours and limits."""
    kinds = set()
    for offer in offers:
        rules = offer.rules
        kinds.add(
            (
                rules.rewards[0].WhichOneof("kind"),
                rules.trigger.WhichOneof("kind"),
                rules.condition.WhichOneof("kind"),
                bool(rules.audience.segment_ids),
                bool(rules.validity.weekdays),
                rules.HasField("limits"),
                rules.trigger.coupon.personal,
            )
        )
    assert len(kinds) >= 8
