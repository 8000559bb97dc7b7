"""Receipts that an installation has stored, decided again beside a draft."""

from datetime import UTC, datetime, timedelta

import pytest
from tessera.promotions.v1 import checkout_service_pb2

from services.promotions.wire import rules
from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, line
from tools.simulation import replaying, stored, totals
from tools.simulation.replaying import Plan


@pytest.fixture
async def window(house):
    """The receipts of this test, and the campaigns that are live."""
    start = datetime.now(UTC)

    async def read():
        end = datetime.now(UTC) + timedelta(minutes=1)
        source = await stored.read(house.settings, start=start, end=end)
        return source, await stored.live(house.settings)

    return read


async def test_stored_receipts_are_decided_as_they_were_and_as_the_draft_would(house, window):
    """The live side comes to what tills were told; voided receipts were never sold."""
    (discount,) = await house.publish(
        promises.percent_off(1000, "milk", limits=promises.limits(budget_minor=250))
    )
    member = await house.register()
    bought = [
        await house.buy(cart_of(line("1", "milk", 1000), member_id=member)),
        await house.buy(cart_of(line("1", "milk", 1000), line("2", "bread", 500))),
        await house.buy(cart_of(line("1", "milk", 1000), member_id=member)),
    ]
    voided = await house.buy(cart_of(line("1", "bread", 700)))
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=voided.receipt_id)
    )
    for receipt in bought:
        await house.settled(receipt.receipt_id)
    source, live = await window()
    draft = rules.parse_campaign("draft", 1, promises.percent_off(5000, "bread"))
    plan = Plan(live, [*live, draft])
    found = replaying.replay(source, plan, progress=lambda _: None, processes=1)
    sums = totals.count(source, found, plan)
    receipts = found.receipts.sort("number")
    told = [one.evaluation.discount_minor for one in bought]
    assert told == [100, 100, 50]
    assert receipts["live_discount_minor"].to_list() == told
    assert receipts["draft_discount_minor"].to_list() == [100, 350, 50]
    assert sums.sums["members"] == 1
    assert dict(sums.campaigns.select("campaign_id", "change_minor").iter_rows())["draft"] == 250
    assert {one.campaign_id for one in live} >= {discount}
