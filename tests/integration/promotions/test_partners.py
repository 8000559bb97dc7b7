"""Stores of a coalition: points are given out and taken in on the accounts of their companies."""

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    ledger_service_pb2,
    settlement_service_pb2,
    settlement_service_pb2_grpc,
)

from services.promotions import config
from tests.integration.promotions import promises
from tests.integration.promotions.houses import (
    OTHER_STORE,
    STORE,
    cart_of,
    commit_of,
    line,
    stamp,
)

PARTNER = account_pb2.OWNER_TYPE_PARTNER


@pytest.fixture(scope="module")
def promotions_settings(promotions_settings):
    """Let one store belong to a grocer and the other to a fuel station."""
    points = config.PointsSettings(partners={STORE: "grocer", OTHER_STORE: "fuel"})
    return lambda made, **overrides: promotions_settings(made, points=points, **overrides)


async def _held(house, partner_id):
    return await house.available(PARTNER, partner_id, "points")


async def test_points_of_one_company_pay_at_another_and_are_owed(house):
    """A return takes it off again; without credit, a company gives nothing out."""
    await house.publish(promises.earn(500))
    member = await house.register()
    cart = cart_of(line("1", "milk", 10_000), member_id=member)
    offer = await house.evaluate(cart)
    broke = await house.refusal(house.checkout.Commit, commit_of(cart, offer))
    assert (broke.reason, broke.metadata["cause"]) == ("BENEFIT_GONE", "BALANCE_LIMIT_REACHED")
    for partner_id in ("grocer", "fuel"):
        owner = account_pb2.Owner(owner_type=PARTNER, owner_id=partner_id)
        key = account_pb2.AccountKey(owner=owner, asset_code="points")
        limits = ledger_service_pb2.SetAccountLimitsRequest(account=key, floor=-100_000)
        await house.call(house.books.SetAccountLimits, limits)
    await house.buy(cart)
    assert (await house.points(member), await _held(house, "grocer")) == (500, -500)
    paid = cart_of(line("1", "bread", 1_000), member_id=member, points=400, store=OTHER_STORE)
    spent = await house.buy(paid)
    gained = spent.evaluation.points_earned
    assert await _held(house, "fuel") == 400 - gained
    await house.give_back(spent, **{"1": 1000})
    await house.settled(spent.receipt_id)
    assert (await house.points(member), await _held(house, "fuel")) == (500, 0)
    await house.buy(paid)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{house.ledger.port}") as channel:
        await _check_debt(house, settlement_service_pb2_grpc.SettlementServiceStub(channel))


async def _check_debt(house, stub):
    """Close the books: 400 of the grocer's points were spent at the fuel station."""
    rate = settlement_service_pb2.SettlementRate(
        asset_code="points",
        effective_time=stamp(seconds=-3600),
        value_minor=90,
        units=100,
        currency_code="EUR",
    )
    request = settlement_service_pb2.SetSettlementRateRequest(rate=rate)
    await house.call(stub.SetSettlementRate, request)
    close = settlement_service_pb2.CloseSettlementPeriodRequest(
        asset_code="points", until_time=stamp()
    )
    statement = (await house.call(stub.CloseSettlementPeriod, close)).statement
    debts = [
        (one.issuer_id, one.acceptor_id, one.amount, one.owed_minor) for one in statement.debts
    ]
    assert debts == [("grocer", "fuel", 400, 360)]
