"""A card of stamps: an asset whose lots expire, and one batch that exchanges ten for a gift."""

import pytest
from tessera.ledger.v1 import account_pb2, asset_pb2, batch_pb2

from tests.integration.ledger.conftest import account, move, undo, world

STAMP, GIFT = "stamp.summer", "coupon.mug"
PRICE = 10


@pytest.fixture(scope="module")
async def stamps(ledger):
    """Stamps that are good to the end of the year's summer, at most twenty on a card."""
    end = asset_pb2.CalendarExpiry(days=[asset_pb2.MonthDay(month=8, day=31)])
    policy = asset_pb2.LotPolicy(calendar=end, time_zone="Europe/Moscow")
    await ledger.asset(STAMP, lot_policy=policy, ceiling=20)
    await ledger.asset(GIFT)
    return ledger


def exchange(member_stamps):
    """Return the batch that turns a full card into a gift."""
    gift = account(member_stamps.owner.owner_id, GIFT)
    return (
        move(member_stamps, world(STAMP, "redemption"), PRICE,
             reason=account_pb2.TRANSFER_REASON_REDEEM),
        move(world(GIFT), gift, 1, reason=account_pb2.TRANSFER_REASON_FUND),
    )  # fmt: skip


async def test_full_card_is_exchanged_in_one_batch_and_no_other_is(stamps):
    """Nine stamps are no mug, and a mug never comes without its stamps."""
    anna = stamps.member(STAMP)
    gift = account(anna.owner.owner_id, GIFT)
    await stamps.earn(anna, 9)
    result = await stamps.post(*exchange(anna))
    assert result.state == batch_pb2.BATCH_STATE_REFUSED
    assert (await stamps.truth(anna), await stamps.truth(gift)) == (9, 0)
    await stamps.earn(anna, 4)
    await stamps.post(*exchange(anna))
    assert (await stamps.truth(anna), await stamps.truth(gift)) == (3, 1)


async def test_returned_goods_take_their_stamps_with_them(stamps):
    """As far as they are still on the card."""
    anna = stamps.member(STAMP)
    purchase = await stamps.earn(anna, 12)
    await stamps.post(*exchange(anna))
    back = await stamps.post(undo(purchase, 12, batch_pb2.SHORTFALL_TAKE_AVAILABLE))
    assert back.operations[0].amount == 2
    assert await stamps.available(anna) == 0


async def test_card_takes_no_more_stamps_than_it_has_room_for(stamps):
    """A till gives what fits."""
    anna = stamps.member(STAMP)
    await stamps.earn(anna, 18)
    result = await stamps.earn(anna, 5)
    assert result.refusal.metadata == {"room": "2", "required": "5"}


async def test_stamps_are_gone_when_the_collection_ends(stamps, turned):
    """All on the same day, whenever they were given."""
    anna = stamps.member(STAMP)
    await stamps.earn(anna, 6)
    (balance,) = await stamps.balances(anna)
    assert balance.next_expire_amount == 6
    end = balance.next_expire_time.ToDatetime()
    assert (end.month, end.day, end.hour) == (8, 31, 21)
    turned(days=366)
    assert await stamps.available(anna) == 0
