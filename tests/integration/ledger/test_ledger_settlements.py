"""A coalition's books, against numbers computed by hand."""

import asyncio
from datetime import timedelta

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    asset_pb2,
    batch_pb2,
    household_service_pb2,
    household_service_pb2_grpc,
    ledger_service_pb2,
    settlement_service_pb2,
    settlement_service_pb2_grpc,
)

from services.chassis import ids, status, timestamps
from tests.integration.ledger.conftest import account, move, undo, world

pb = settlement_service_pb2
PARTNER, HOUSEHOLD = account_pb2.OWNER_TYPE_PARTNER, account_pb2.OWNER_TYPE_HOUSEHOLD
REDEEM = account_pb2.TRANSFER_REASON_REDEEM


@pytest.fixture(scope="module")
def settlements(ledger):
    return settlement_service_pb2_grpc.SettlementServiceStub(ledger.channel)


class Coalition:
    """Three companies with an asset of their own."""

    def __init__(self, ledger, stub, code):
        self.ledger, self.stub, self.code = ledger, stub, code
        self.bank, self.fuel, self.grocer = (
            account(name, code, PARTNER) for name in ("bank", "fuel", "grocer")
        )

    async def found(self, *, grace_days=0):
        days = asset_pb2.RollingExpiry(days=30, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
        policy = asset_pb2.LotPolicy(rolling=days, refund_grace_days=grace_days, time_zone="UTC")
        await self.ledger.asset(self.code, lot_policy=policy)
        for partner in (self.bank, self.fuel, self.grocer):
            request = ledger_service_pb2.SetAccountLimitsRequest(account=partner, floor=-10_000)
            await self.ledger.stub.SetAccountLimits(request)
        await self.rate(95)
        await self.rate(80, issuer="bank")

    async def rate(self, value, *, issuer="", acceptor="", units=100, currency="EUR", at=None):
        rate = pb.SettlementRate(
            asset_code=self.code,
            issuer_id=issuer,
            acceptor_id=acceptor,
            effective_time=timestamps.show(at or self.ledger.now() - timedelta(days=1)),
            value_minor=value,
            units=units,
            currency_code=currency,
        )
        await self.stub.SetSettlementRate(pb.SetSettlementRateRequest(rate=rate))
        return rate

    async def accept(self, member, partner, amount):
        return await self.ledger.post(move(member, partner, amount, reason=REDEEM))

    async def close(self, at=None):
        request = pb.CloseSettlementPeriodRequest(
            asset_code=self.code, until_time=timestamps.show(at or self.ledger.now())
        )
        return (await self.stub.CloseSettlementPeriod(request)).statement

    async def preview(self):
        request = pb.PreviewSettlementRequest(
            asset_code=self.code, until_time=timestamps.show(self.ledger.now())
        )
        return (await self.stub.PreviewSettlement(request)).statement

    async def read(self, number):
        request = pb.GetSettlementStatementRequest(asset_code=self.code, number=number)
        return (await self.stub.GetSettlementStatement(request)).statement


@pytest.fixture
async def coalition(ledger, settlements):
    made = Coalition(ledger, settlements, f"c{ids.new('x')[-30:]}")
    await made.found()
    return made


def _debts(statement):
    return [
        (debt.issuer_id, debt.acceptor_id, debt.amount, debt.owed_minor) for debt in statement.debts
    ]


def _nets(statement):
    return [(net.debtor_id, net.creditor_id, net.owed_minor) for net in statement.nets]


def _positions(statement):
    return {one.partner_id: (one.issued, one.accepted) for one in statement.positions}


async def test_points_of_one_company_spent_at_another_are_owed(ledger, coalition):
    """The earliest expiry first tells whose points they were; own points cost nothing."""
    one = coalition
    anna = ledger.member(one.code)
    await ledger.post(move(one.bank, anna, 500))
    await ledger.post(move(one.grocer, anna, 300))
    await ledger.post(move(world(one.code), anna, 100))
    await one.accept(anna, one.fuel, 600)  # 500 of the bank, 100 of the grocer
    back = await one.accept(anna, one.grocer, 250)  # 200 of its own, 50 of the program
    await ledger.post(undo(back, 30))  # of the program's
    await ledger.post(move(one.fuel, anna, 40))
    await one.accept(anna, one.bank, 85)  # 70 of the program, and 15 of the fuel station
    preview = await one.preview()
    statement = await one.close()
    expected = [
        ("", "bank", 80, 76),
        ("", "grocer", 20, 19),
        ("bank", "fuel", 500, 400),
        ("fuel", "bank", 5, 5),  # 4.75
        ("grocer", "fuel", 100, 95),
    ]
    assert _debts(statement) == expected
    assert _nets(statement) == [
        ("", "bank", 76),
        ("", "grocer", 19),
        ("bank", "fuel", 395),
        ("grocer", "fuel", 95),
    ]
    assert _positions(statement) == {"bank": (500, 85), "fuel": (40, 600), "grocer": (300, 220)}
    assert (statement.period.number, statement.period.currency_code) == (1, "EUR")
    assert (_debts(preview), preview.period.HasField("close_time")) == (expected, False)


async def test_a_closed_statement_never_changes(ledger, coalition, turned):
    """Late items are in the next one, whatever they say about when they happened."""
    one, anna = coalition, ledger.member(coalition.code)
    await ledger.post(move(one.bank, anna, 100))
    await one.accept(anna, one.fuel, 60)
    end = ledger.now()
    turned(hours=1)
    first = await one.close(end)
    late = timestamps.show(end - timedelta(minutes=30))
    await ledger.post(move(anna, one.fuel, 25, reason=REDEEM), occurred_time=late)
    await one.rate(1000, issuer="bank", acceptor="fuel", at=end - timedelta(hours=2))
    assert await one.read(1) == first == await one.close(end)
    second = await one.close()
    assert _debts(first) == [("bank", "fuel", 60, 48)]
    assert _debts(second) == [("bank", "fuel", 25, 250)]
    assert second.period.from_time == first.period.until_time
    assert second.period.number == 2


async def test_every_movement_is_in_exactly_one_statement(ledger, coalition):
    """Though points are spent while periods are closed by several at once."""
    one, members = coalition, [ledger.member(coalition.code) for _ in range(5)]
    for member in members:
        await ledger.post(move(one.bank, member, 100))

    async def spend(member):
        for _ in range(20):
            await one.accept(member, one.fuel, 5)

    async def close():
        for _ in range(8):
            await one.close(ledger.now())

    outcomes = await asyncio.gather(*map(spend, members), close(), close(), return_exceptions=True)
    # Of two who close at nearly the same time, the one with the earlier end comes too late.
    for outcome in outcomes:
        if outcome is not None:
            assert isinstance(outcome, grpc.RpcError)
            assert status.read(outcome).reason == "PERIOD_CLOSED"
    last = await one.close(ledger.now())
    statements = [await one.read(number) for number in range(1, last.period.number + 1)]
    assert sum(debt.amount for each in statements for debt in each.debts) == 500
    assert len(statements) > 3


async def test_a_return_after_the_period_comes_off_the_next_one(ledger, coalition):
    one, anna = coalition, ledger.member(coalition.code)
    await ledger.post(move(one.bank, anna, 100))
    spent = await one.accept(anna, one.fuel, 60)
    await one.close()
    await ledger.post(undo(spent, 60))
    statement = await one.close()
    assert _debts(statement) == [("bank", "fuel", -60, -48)]
    assert _nets(statement) == [("fuel", "bank", 48)]


async def test_what_is_returned_after_its_expiry_is_not_owed(ledger, settlements, turned):
    """Though it comes back as lots of their own, and is owed again when those are spent."""
    one = Coalition(ledger, settlements, f"c{ids.new('x')[-30:]}")
    await one.found(grace_days=5)
    anna = ledger.member(one.code)
    await ledger.post(move(one.bank, anna, 50))
    turned(days=20)
    await ledger.post(move(one.grocer, anna, 50))
    spent = await one.accept(anna, one.fuel, 80)
    turned(days=31)
    await ledger.post(undo(spent, 20))  # of the grocer's, which still live
    await ledger.post(undo(spent, 50))  # 10 of those, and 40 of the bank's, which do not
    assert _debts(await one.close()) == [("bank", "fuel", 10, 8)]
    await one.accept(anna, one.fuel, 40)
    assert _debts(await one.close()) == [("bank", "fuel", 40, 32)]


async def test_what_one_partner_gave_another_can_be_undone(ledger, coalition):
    """In the same period nothing is left of it, in the next one it comes off."""
    one = coalition
    for is_closed_between, expected in (
        (False, [("bank", "fuel", 60, 48)]),
        (True, [("bank", "fuel", -40, -32)]),
    ):
        given = await ledger.post(move(one.bank, one.fuel, 100))
        if is_closed_between:
            await one.close()
        await ledger.post(undo(given, 40))
        assert _debts(await one.close()) == expected


@pytest.mark.parametrize("is_closed_between", [False, True])
async def test_what_a_partner_owes_of_what_it_was_given_is_settled(
    ledger, coalition, is_closed_between
):
    """At its floor it gives back a part, and its debt the rest: once, in whichever period."""
    one, anna = coalition, ledger.member(coalition.code)
    given = await ledger.post(move(one.bank, one.fuel, 100))
    await ledger.post(move(one.fuel, anna, 10_050))
    if is_closed_between:
        assert _debts(await one.close()) == [("bank", "fuel", 100, 80)]
    undone = (await ledger.post(undo(given, 100, batch_pb2.SHORTFALL_DEBT))).operations[0]
    assert (undone.amount, undone.owed) == (50, 50)
    expected = [("bank", "fuel", -100, -80)] if is_closed_between else []
    statement = await one.close()
    assert _debts(statement) == expected
    assert list(_positions(statement)) == ["bank", "fuel", "grocer"]
    assert await one.read(statement.period.number) == statement
    assert _debts(await one.close()) == []


async def test_points_keep_their_issuer_in_a_household(ledger, coalition):
    one, anna = coalition, ledger.member(coalition.code)
    home = account(ids.new("hou"), one.code, HOUSEHOLD)
    await ledger.post(move(one.bank, anna, 100))
    homes = household_service_pb2_grpc.HouseholdServiceStub(ledger.channel)
    await homes.PoolPoints(
        household_service_pb2.PoolPointsRequest(
            batch_id=ids.new("bat"),
            household_id=home.owner.owner_id,
            asset_code=one.code,
            member_ids=[anna.owner.owner_id],
            occurred_time=timestamps.show(ledger.now()),
        )
    )
    await one.accept(home, one.fuel, 100)
    assert _debts(await one.close()) == [("bank", "fuel", 100, 80)]


async def test_what_one_partner_gives_another_is_the_givers(ledger, coalition):
    one = coalition
    await ledger.post(move(one.bank, one.fuel, 100))
    assert _debts(await one.close()) == [("bank", "fuel", 100, 80)]


async def test_a_partner_issues_down_to_its_floor(ledger, coalition):
    one, anna = coalition, ledger.member(coalition.code)
    await ledger.post(move(one.bank, anna, 10_000))
    refused = await ledger.post(move(one.bank, anna, 1))
    assert refused.refusal.metadata["available"] == "0"
    assert (await ledger.balances(one.bank))[0].available == -10_000


async def test_periods_and_rates_are_listed(ledger, coalition):
    """Page by page."""
    one = coalition
    for _ in range(3):
        await one.close(ledger.now())
    request = pb.ListSettlementPeriodsRequest(asset_code=one.code, page_size=2)
    page = await one.stub.ListSettlementPeriods(request)
    request.page_token = page.next_page_token
    rest = await one.stub.ListSettlementPeriods(request)
    assert [period.number for period in (*page.periods, *rest.periods)] == [3, 2, 1]
    await one.rate(70, issuer="bank", acceptor="fuel")
    wanted = pb.ListSettlementRatesRequest(asset_code=one.code, page_size=2)
    page = await one.stub.ListSettlementRates(wanted)
    wanted.page_token = page.next_page_token
    rest = await one.stub.ListSettlementRates(wanted)
    rates = [(rate.issuer_id, rate.acceptor_id) for rate in (*page.rates, *rest.rates)]
    assert rates == [("", ""), ("bank", ""), ("bank", "fuel")]


async def test_refusals(ledger, coalition, settlements):
    """Each with its reason."""
    one, anna = coalition, ledger.member(coalition.code)
    rate = await one.rate(60, issuer="fuel")
    await one.close(ledger.now())
    early, late = (ledger.now() + timedelta(hours=hours) for hours in (-1, 1))
    coins = Coalition(ledger, settlements, "coins")
    nothing = Coalition(ledger, settlements, "nothing")
    fresh = Coalition(ledger, settlements, f"c{ids.new('x')[-30:]}")
    await ledger.asset(fresh.code, lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
    request = ledger_service_pb2.SetAccountLimitsRequest(account=fresh.bank, floor=-10)
    await ledger.stub.SetAccountLimits(request)
    bearer = ledger.member(fresh.code)
    await ledger.post(move(fresh.bank, bearer, 10))
    await fresh.accept(bearer, fresh.fuel, 10)
    other = timestamps.read(rate.effective_time)
    cases = [
        (one.close(early), "PERIOD_CLOSED"),
        (one.close(late), "TIME_NOT_PAST"),
        (coins.close(), "LOTS_NOT_KEPT"),
        (nothing.close(), "ASSET_NOT_FOUND"),
        (nothing.preview(), "ASSET_NOT_FOUND"),
        (fresh.close(), "RATE_NOT_FOUND"),
        (fresh.preview(), "RATE_NOT_FOUND"),
        (one.read(99), "PERIOD_NOT_FOUND"),
        (one.rate(61, issuer="fuel", at=other), "RATE_CONFLICT"),
        (one.rate(60, issuer="grocer", currency="USD"), "RATE_CONFLICT"),
        (coins.rate(1), "LOTS_NOT_KEPT"),
        (
            settlements.ListSettlementPeriods(
                pb.ListSettlementPeriodsRequest(asset_code=one.code, page_token="AAAA")
            ),
            "PAGE_TOKEN_INVALID",
        ),
        (
            settlements.ListSettlementRates(
                pb.ListSettlementRatesRequest(asset_code=one.code, page_token="AAAA")
            ),
            "PAGE_TOKEN_INVALID",
        ),
    ]
    for call, reason in cases:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert status.read(caught.value).reason == reason
    assert anna
