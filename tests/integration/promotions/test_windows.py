"""Welcome, birthday, win-back, partners and banks: windows that campaigns open."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.promotions.v1 import campaign_pb2, checkout_pb2

from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line, stamp


@pytest.fixture
async def tenth(house):
    """Return what puts ten percent off for a condition live; the test ends it."""
    made = []

    async def publish(**condition):
        rules = promises.percent_off(1_000)
        rules.condition.CopyFrom(campaign_pb2.Condition(**condition))
        made.extend(await house.publish(rules))

    yield publish
    await house.end(*made)


def bread(member):
    return cart_of(line("1", "bread", 1_000), member_id=member)


async def discount(house, cart):
    return (await house.evaluate(cart)).discount_minor


async def test_a_birthday_is_celebrated_around_its_day(house, tenth):
    """Whoever told no date has no birthday here."""
    await tenth(
        member_date=campaign_pb2.MemberDate(name="birth", days_from=-3, days_to=3, yearly=True)
    )

    async def born(days):
        day = datetime.now(UTC).date() + timedelta(days=days)
        answer = await house.call(
            house.members.RegisterMember,
            member_service_pb2.RegisterMemberRequest(
                request_id=secrets.token_hex(8),
                card_number=str(secrets.randbelow(10**15)),
                birth_date=member_pb2.BirthDate(year=1990, month=day.month, day=min(day.day, 28)),
            ),
        )
        return answer.member.member_id

    assert await discount(house, bread(await born(0))) == 100
    assert await discount(house, bread(await born(40))) == 0
    assert await discount(house, bread(await house.register())) == 0


async def test_newcomers_are_welcome_for_a_while(house, tenth):
    await tenth(member_date=campaign_pb2.MemberDate(name="joined", days_from=0, days_to=30))
    assert await discount(house, bread(await house.register())) == 100
    assert await discount(house, cart_of(line("1", "bread", 1_000))) == 0


async def test_who_has_not_bought_for_long_is_won_back(house, tenth):
    """A purchase of long ago opens the window, one of today closes it."""
    await tenth(last_purchase=campaign_pb2.LastPurchase(days_min=60))
    member = await house.register()
    assert await discount(house, bread(member)) == 0
    long_ago = stamp(datetime.now(UTC) - timedelta(days=90))
    await house.commit(commit_of(bread(member), total=1_000, occurred=long_ago))
    await until_discount(house, member, 100)
    await house.commit(commit_of(bread(member), total=900))
    await until_discount(house, member, 0)


async def until_discount(house, member, amount):
    """Wait until identity has heard of a purchase."""
    async with asyncio.timeout(15):
        while await discount(house, bread(member)) != amount:
            await asyncio.sleep(0.05)


async def test_a_bank_pays_for_its_own_cards(house, tenth):
    """The first digits of the card tell whose it is; other cards and cash pay the price."""
    await tenth(
        payment_plan=campaign_pb2.PaymentPlan(
            types=[campaign_pb2.PAYMENT_TYPE_CARD], card_prefixes=["4276"]
        )
    )

    def paid_by(payment_type, prefix=""):
        cart = cart_of(line("1", "bread", 1_000))
        cart.planned_payments.append(
            checkout_pb2.PlannedPayment(type=payment_type, card_prefix=prefix)
        )
        return cart

    card = campaign_pb2.PAYMENT_TYPE_CARD
    assert await discount(house, paid_by(card, "427612")) == 100
    assert await discount(house, paid_by(card, "555555")) == 0
    assert await discount(house, paid_by(campaign_pb2.PAYMENT_TYPE_CASH)) == 0
    assert await discount(house, cart_of(line("1", "bread", 1_000))) == 0
