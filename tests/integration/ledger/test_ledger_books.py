"""What was, where it came from, where it went."""

import asyncio
import json
import random
from datetime import timedelta

import grpc
import pytest
import yaml
from tessera.ledger.v1 import (
    account_pb2,
    asset_pb2,
    batch_pb2,
    books_service_pb2,
    books_service_pb2_grpc,
)
from typer.testing import CliRunner

from services.chassis import ids, status, timestamps
from tests.integration.ledger.conftest import account, move, release, running, undo, world
from tools.ledger.command import app

pb = books_service_pb2
HOUSEHOLD = account_pb2.OWNER_TYPE_HOUSEHOLD


@pytest.fixture(scope="module")
async def ledger(ledger_database, valkey):
    """Run a ledger whose checker sleeps: to it, a clock that was put back is a contradiction."""
    async with running(ledger_database, valkey.url, check_interval_s=3600) as started:
        await started.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        await started.asset("coins")
        yield started


@pytest.fixture(scope="module")
def books(ledger):
    return books_service_pb2_grpc.BooksServiceStub(ledger.channel)


@pytest.fixture(scope="module", autouse=True)
async def _assets(ledger):
    days = asset_pb2.RollingExpiry(days=10, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    policies = {
        "late": asset_pb2.LotPolicy(pending_days=3, rolling=days, time_zone="UTC"),
        "held": asset_pb2.LotPolicy(pending_until_release=True, rolling=days, time_zone="UTC"),
        "mild": asset_pb2.LotPolicy(rolling=days, refund_grace_days=5, time_zone="UTC"),
        "lazy": asset_pb2.LotPolicy(sliding=asset_pb2.SlidingExpiry(days=6), time_zone="UTC"),
    }
    for code, policy in policies.items():
        await ledger.asset(code, lot_policy=policy)


def handover(debit, credit, reason=account_pb2.TRANSFER_REASON_POOL, **fields):
    fields.setdefault("selection", batch_pb2.LOT_SELECTION_ALL)
    return batch_pb2.Operation(
        handover=batch_pb2.Handover(
            asset_code=debit.asset_code,
            debit=debit.owner,
            credit=credit.owner,
            reason=reason,
            **fields,
        )
    )


async def _past(books, key, at, basis=pb.TIME_BASIS_RECORDED):
    stamp = at if not hasattr(at, "year") else timestamps.show(at)
    request = pb.GetPastBalanceRequest(account=key, at_time=stamp, basis=basis)
    return (await books.GetPastBalance(request)).balance


async def _step(ledger, rng, key, done):
    """Do one thing to an account."""
    kind = rng.choice(["earn", "earn", "spend", "undo", "release", "none"])
    if kind == "earn":
        late = timestamps.show(ledger.now() - timedelta(hours=rng.randrange(30)))
        operation = move(world(key.asset_code), key, rng.randrange(1, 50))
        done.append(await ledger.post(operation, occurred_time=late))
    elif kind == "spend":
        done.append(await ledger.spend(key, rng.randrange(1, 40), up_to=True))
    elif kind == "undo" and done:
        take = batch_pb2.SHORTFALL_TAKE_AVAILABLE
        await ledger.post(undo(rng.choice(done), rng.randrange(1, 9), take))
    elif kind == "release" and done:
        await ledger.post(release(rng.choice(done)))


@pytest.mark.parametrize("code", ["points", "coins", "late", "held", "lazy"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_past_balance_is_what_a_reader_saw_then(ledger, books, turned, code, seed):
    """At each of many instants of a history, whatever came afterwards."""
    rng = random.Random(f"{code} {seed}")
    key = ledger.member(code)
    done: list[batch_pb2.BatchResult] = []
    seen, hours = [], 0
    for _ in range(40):
        hours += rng.choice([0, 1, 7, 30])
        turned(hours=hours)
        await _step(ledger, rng, key, done)
        balance = (await ledger.balances(key))[0]
        seen.append((balance, ledger.now()))
        await books.GetPastBalance(  # of now: nothing is booked by looking
            pb.GetPastBalanceRequest(
                account=key,
                at_time=timestamps.show(ledger.now()),
                basis=pb.TIME_BASIS_RECORDED,
            )
        )
    turned(hours=hours + 1)
    for balance, at in seen:
        then = await _past(books, key, at)
        assert (then.available, then.pending) == (balance.available, balance.pending)
        assert then.total == then.available + then.pending + then.expired
        assert then.expired >= 0


async def test_before_the_first_entry_there_was_nothing(ledger, books):
    """And at the very instant of an entry, it counts."""
    anna = ledger.member()
    before = ledger.now()
    earned = await ledger.earn(anna, 10)
    assert await _past(books, anna, before) == pb.PastBalance(
        account=anna, at_time=timestamps.show(before)
    )
    assert (await _past(books, anna, earned.record_time)).available == 10


async def test_what_had_expired_unbooked_is_told_apart(ledger, books, turned):
    """The booked balance of that instant still had it."""
    anna = ledger.member("lazy")
    await ledger.earn(anna, 10)
    turned(days=20)
    then = await _past(books, anna, ledger.now())
    assert (then.total, then.available, then.pending, then.expired) == (10, 0, 0, 10)


async def test_a_late_receipt_changes_the_balance_by_occurrence_alone(ledger, books, turned):
    """The recorded past never changes."""
    anna = ledger.member()
    turned(days=1)
    await ledger.earn(anna, 5)
    turned(days=2)
    noon = ledger.now()
    turned(days=3)
    early = timestamps.show(noon - timedelta(hours=1))
    await ledger.post(move(world(), anna, 7), occurred_time=early)
    await ledger.earn(anna, 100)
    assert (await _past(books, anna, noon)).total == 5
    occurred = await _past(books, anna, noon, pb.TIME_BASIS_OCCURRED)
    assert (occurred.total, occurred.version) == (12, 0)
    assert (await _past(books, anna, ledger.now(), pb.TIME_BASIS_OCCURRED)).total == 112


async def test_a_statement_runs_from_its_opening_to_its_closing_balance(ledger, books, turned):
    """Page by page, oldest first; what comes meanwhile is not in it."""
    anna = ledger.member()
    turned(days=1)
    await ledger.earn(anna, 100)
    start = ledger.now()
    for day, amount in enumerate([10, -20, 30, -5, 7], start=2):
        turned(days=day)
        await (ledger.earn(anna, amount) if amount > 0 else ledger.spend(anna, -amount))
    end = ledger.now()
    turned(days=10)
    await ledger.earn(anna, 1000)
    request = pb.GetStatementRequest(
        account=anna,
        from_time=timestamps.show(start),
        until_time=timestamps.show(end),
        page_size=2,
    )
    pages = [await books.GetStatement(request)]
    await ledger.earn(anna, 1)
    while pages[-1].next_page_token:
        request.page_token = pages[-1].next_page_token
        pages.append(await books.GetStatement(request))
    assert [len(page.entries) for page in pages] == [2, 2, 1]
    entries = [entry for page in pages for entry in page.entries]
    assert [entry.amount for entry in entries] == [10, -20, 30, -5, 7]
    assert {(page.opening_balance, page.closing_balance) for page in pages} == {(100, 122)}
    assert (entries[0].balance_before, entries[-1].balance_after) == (100, 122)
    earn = account_pb2.TRANSFER_REASON_EARN
    assert list(pages[0].totals) == [
        pb.StatementTotal(reason=earn, entry_count=5, credits=47, debits=25)
    ]
    assert not pages[1].totals


async def test_an_empty_period_opens_and_closes_with_the_same(ledger, books, turned):
    anna = ledger.member()
    await ledger.earn(anna, 4)
    turned(days=5)
    request = pb.GetStatementRequest(
        account=anna,
        from_time=timestamps.show(ledger.now() - timedelta(days=2)),
        until_time=timestamps.show(ledger.now()),
    )
    response = await books.GetStatement(request)
    assert (response.opening_balance, response.closing_balance) == (4, 4)
    assert not response.entries


async def test_a_spending_is_traced_to_the_receipts_that_earned_it(ledger, books):
    """Through a household and back, in the order of consumption, with what was restored."""
    anna, boris = ledger.member(), ledger.member()
    home = account(ids.new("hou"), owner_type=HOUSEHOLD)
    soon = timestamps.show(ledger.now() + timedelta(days=5))
    first = await ledger.post(move(world(), anna, 10, campaign_id="cmp_a"), receipt_id="rcp_1")
    second = await ledger.post(move(world(), boris, 20, lot_expire_time=soon), receipt_id="rcp_2")
    pooled = await ledger.post(handover(anna, home), handover(boris, home))
    spent = await ledger.spend(home, 25, reason=account_pb2.TRANSFER_REASON_REDEEM)
    await ledger.post(undo(spent, 3))
    request = pb.TraceSpendingRequest(batch_id=spent.batch_id)
    parts = list((await books.TraceSpending(request)).parts)
    assert [(part.amount, part.restored) for part in parts] == [(20, 0), (5, 3)]
    assert [[origin.batch_id for origin in part.origins] for part in parts] == [
        [pooled.batch_id, second.batch_id],
        [pooled.batch_id, first.batch_id],
    ]
    assert [origin.account for origin in parts[1].origins] == [home, anna]
    earned = parts[1].origins[1]
    assert (earned.receipt_id, earned.campaign_id) == ("rcp_1", "cmp_a")
    assert earned.counterparty == world().owner
    assert [part.lot_id for part in spent.operations[0].taken] == [
        part.origins[0].lot_id for part in parts
    ]


async def test_an_earning_is_traced_to_where_it_went(ledger, books, turned):
    """Spent, handed over and spent there, restored, expired: the uses add up to what is gone."""
    anna = ledger.member("late")
    home = account(ids.new("hou"), "late", HOUSEHOLD)
    earned = await ledger.earn(anna, 100)
    turned(days=4)
    await ledger.spend(anna, 10)
    await ledger.post(handover(anna, home))
    spent = await ledger.post(move(home, world("late"), 30), receipt_id="rcp_9")
    await ledger.post(undo(spent, 4))
    turned(days=40)
    await ledger.earn(home, 1)
    request = pb.TraceEarningRequest(batch_id=earned.batch_id)
    course = await books.TraceEarning(request)
    assert [(lot.amount, lot.remaining) for lot in course.lots] == [(100, 0), (90, 0)]
    assert [lot.account for lot in course.lots] == [anna, home]
    assert course.lots[1].source_lot_id == course.lots[0].lot_id
    reasons = account_pb2.TransferReason
    assert [(use.amount, reasons.Name(use.reason)) for use in course.uses] == [
        (10, "TRANSFER_REASON_EARN"),
        (90, "TRANSFER_REASON_POOL"),
        (30, "TRANSFER_REASON_EARN"),
        (-4, "TRANSFER_REASON_REVERSE"),
        (64, "TRANSFER_REASON_EXPIRE"),
    ]
    assert (course.uses[2].receipt_id, course.uses[4].batch_id) == ("rcp_9", "")
    assert course.uses[1].counterparty == home.owner
    assert not course.truncated


async def test_an_operation_without_lots_has_no_trace(ledger, books):
    anna = ledger.member("coins")
    earned = await ledger.earn(anna, 5)
    spent = await ledger.spend(anna, 5)
    request = pb.TraceSpendingRequest(batch_id=spent.batch_id)
    assert not (await books.TraceSpending(request)).parts
    course = await books.TraceEarning(pb.TraceEarningRequest(batch_id=earned.batch_id))
    assert not course.lots


async def test_points_are_traced_through_a_time_of_grace(ledger, books, turned):
    """What a refund renewed is still what a receipt once earned, and is spent to its end."""
    anna = ledger.member("mild")
    earned = await ledger.post(move(world("mild"), anna, 100), receipt_id="rcp_1")
    spent = await ledger.spend(anna, 40)
    turned(days=20)
    for part in (30, 10):
        await ledger.post(undo(spent, part))
    again = await ledger.spend(anna, 35)
    (part,) = (await books.TraceSpending(pb.TraceSpendingRequest(batch_id=spent.batch_id))).parts
    assert (part.amount, part.restored) == (40, 40)
    parts = (await books.TraceSpending(pb.TraceSpendingRequest(batch_id=again.batch_id))).parts
    assert sorted(part.amount for part in parts) in ([5, 30], [10, 25])
    for part in parts:
        first, last = part.origins
        assert first.reason == account_pb2.TRANSFER_REASON_REVERSE
        assert (last.batch_id, last.receipt_id) == (earned.batch_id, "rcp_1")
    course = await books.TraceEarning(pb.TraceEarningRequest(batch_id=earned.batch_id))
    assert sorted((lot.amount, lot.source_lot_id) for lot in course.lots[1:]) == [
        (10, course.lots[0].lot_id),
        (30, course.lots[0].lot_id),
    ]
    assert sum(lot.remaining for lot in course.lots) == 5
    assert sum(use.amount for use in course.uses) == 40 + 60 + 35
    assert not course.truncated


async def test_refusals(ledger, books):
    """Each with its reason."""
    anna = ledger.member()
    await ledger.earn(anna, 1)
    now = ledger.now()
    past, future = (timestamps.show(now + timedelta(hours=hours)) for hours in (-1, 1))
    nothing = account(ids.new("mem"), "nothing")
    recorded = pb.TIME_BASIS_RECORDED
    span = {"from_time": past, "until_time": timestamps.show(now)}
    cases = [
        (
            books.GetPastBalance,
            pb.GetPastBalanceRequest(account=anna, at_time=future, basis=recorded),
            "TIME_NOT_PAST",
        ),
        (
            books.GetPastBalance,
            pb.GetPastBalanceRequest(account=nothing, at_time=past, basis=recorded),
            "ASSET_NOT_FOUND",
        ),
        (
            books.GetPastBalance,
            pb.GetPastBalanceRequest(account=world(), at_time=past, basis=recorded),
            "INVALID_REQUEST",
        ),
        (
            books.GetStatement,
            pb.GetStatementRequest(account=anna, from_time=past, until_time=future),
            "TIME_NOT_PAST",
        ),
        (books.GetStatement, pb.GetStatementRequest(account=nothing, **span), "ASSET_NOT_FOUND"),
        (
            books.GetStatement,
            pb.GetStatementRequest(account=anna, page_token="AAAA", **span),
            "PAGE_TOKEN_INVALID",
        ),
        (
            books.GetStatement,
            pb.GetStatementRequest(account=anna, from_time=past, until_time=past),
            "INVALID_REQUEST",
        ),
        (
            books.TraceSpending,
            pb.TraceSpendingRequest(batch_id=ids.new("bat")),
            "TRANSFER_NOT_FOUND",
        ),
        (
            books.TraceEarning,
            pb.TraceEarningRequest(batch_id=ids.new("bat")),
            "TRANSFER_NOT_FOUND",
        ),
    ]
    for call, request, reason in cases:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request)
        assert status.read(caught.value).reason == reason, request


async def test_the_liability_is_what_members_could_still_claim(ledger, books, turned):
    """By age and by expiry; half of what was earned two months ago has expired so far."""
    code = "owed"
    month = asset_pb2.RollingExpiry(months=1, rounding=asset_pb2.EXPIRY_ROUNDING_END_OF_MONTH)
    policy = asset_pb2.LotPolicy(rolling=month, time_zone="UTC")
    await ledger.asset(code, lot_policy=policy)
    anna, boris = ledger.member(code), ledger.member(code)
    start = ledger.now()
    # Noon of the 15th of the month after the next: months later are the same day of the month.
    first = (start.replace(day=1) + timedelta(days=64)).replace(day=15, hour=12)

    def turn_to(months):
        number = first.year * 12 + first.month - 1 + months
        there = first.replace(year=number // 12, month=number % 12 + 1)
        turned(seconds=(there - start).total_seconds())
        return f"{there.year:04}-{there.month:02}"

    turn_to(0)
    await ledger.earn(anna, 200)
    await ledger.earn(boris, 200)
    await ledger.spend(anna, 100)
    turn_to(1)
    await ledger.spend(anna, 100)
    turn_to(2)
    await ledger.earn(boris, 40)  # books what has expired: 200
    now = turn_to(3)
    home = account(ids.new("hou"), code, HOUSEHOLD)
    await ledger.post(handover(boris, home))
    pending = timestamps.show(ledger.now() + timedelta(days=50))
    await ledger.earn(anna, 9, lot_activate_time=pending)
    await ledger.earn(world(code, "elsewhere"), 1)
    value = pb.PointValue(currency_code="EUR", value_minor=3, units=2)
    request = pb.GetLiabilityRequest(asset_code=code, value=value)
    found = (await books.GetLiability(request)).liability
    assert (found.available, found.pending, found.expired) == (40, 9, 0)
    # Of 400 + 40, 100 were used in their first month. Of the 300 then left, 100 were used in the
    # second and 200 expired with it.
    lines = [(line.age_months, line.outstanding, line.expected_breakage) for line in found.by_age]
    assert [line[:2] for line in lines] == [(0, 9), (1, 40)]
    assert lines[1][2] == 40 * 2 // 3
    assert lines[0][2] == 9 * 340 * 2 // (440 * 3)
    assert [(line.available, line.pending) for line in found.by_expiry] == [(40, 0), (0, 9)]
    assert found.by_expiry[0].month == now
    assert found.money == pb.LiabilityMoney(
        currency_code="EUR",
        outstanding_minor=74,
        expected_breakage_minor=45,
        liability_minor=29,
    )


async def test_a_refund_for_a_time_of_grace_is_no_new_earning(ledger, books, turned):
    """Breakage is learnt from it as from any other refund."""
    days = asset_pb2.RollingExpiry(days=20, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    found = []
    start = ledger.now()
    first = (start.replace(day=1) + timedelta(days=64)).replace(day=5, hour=12)
    for code, grace_days in (("strict", 0), ("graceful", 2)):
        policy = asset_pb2.LotPolicy(rolling=days, refund_grace_days=grace_days, time_zone="UTC")
        await ledger.asset(code, lot_policy=policy)
        anna = ledger.member(code)
        turned(seconds=(first - start).total_seconds())
        await ledger.earn(anna, 100)
        spent = await ledger.spend(anna, 40)
        turned(seconds=(first - start).total_seconds() + 21 * 86_400)
        await ledger.post(undo(spent, 30))
        turned(seconds=(first - start).total_seconds() + 70 * 86_400)
        await ledger.earn(anna, 10)
        request = pb.GetLiabilityRequest(asset_code=code)
        found.append((await books.GetLiability(request)).liability)
    assert [one.outstanding for one in found] == [10, 10]
    assert [one.expected_breakage for one in found] == [9, 9]  # 10 of 100 were used, 90 expired


async def test_a_report_that_nobody_could_write_down_is_refused(ledger, books):
    """In money first, then in points as well."""
    await ledger.asset("vast", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
    value = pb.PointValue(currency_code="EUR", value_minor=10**9, units=1)
    requests = [
        pb.GetLiabilityRequest(asset_code="vast", value=value),
        pb.GetLiabilityRequest(asset_code="vast"),
    ]
    for full, request in zip((1, 10), requests, strict=True):
        for _ in range(full):
            anna = ledger.member("vast")
            for _ in range(5):
                await ledger.post(*(move(world("vast"), anna, 10**15) for _ in range(200)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await books.GetLiability(request)
        assert status.read(caught.value).reason == "AMOUNT_TOO_LARGE"


async def test_the_liability_of_an_asset_without_lots_is_its_balances(ledger, books):
    await ledger.asset("gift")
    await ledger.earn(ledger.member("gift"), 70)
    await ledger.earn(account("cmp_1", "gift", account_pb2.OWNER_TYPE_CAMPAIGN), 1000)
    request = pb.GetLiabilityRequest(asset_code="gift")
    found = (await books.GetLiability(request)).liability
    assert (found.outstanding, found.expected_breakage) == (70, 0)
    assert not found.HasField("money")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await books.GetLiability(pb.GetLiabilityRequest(asset_code="nothing"))
    assert status.read(caught.value).reason == "ASSET_NOT_FOUND"


async def test_the_command_reports_what_the_service_does(database, valkey, tmp_path):
    """As tables, as JSON and as CSV; an asset that is not there is said so."""
    made = await database("ledger")
    file = tmp_path / "tessera.yaml"
    section = {
        "server": {"port": 0, "metrics_port": 0},
        "database": {name: str(value) for name, value in made.fields().items()},
        "hotstore": {"url": valkey.url},
    }
    file.write_text(yaml.safe_dump({"ledger": section}))
    async with running(made, valkey.url) as ledger:
        await ledger.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        await ledger.earn(ledger.member(), 1250)

    async def run(*options):
        command = ["liability", *options, "--config", str(file)]
        return await asyncio.to_thread(CliRunner().invoke, app, command)

    worth = ("--currency", "EUR", "--value-minor", "1", "--units", "100")
    shown = await run("points", *worth)
    assert shown.exit_code == 0, shown.output
    assert "1,250" in shown.output
    document = json.loads((await run("points", *worth, "--json")).output)
    assert document["outstanding"] == document["available"] == 1250
    assert document["by_expiry"] == [{"month": "", "available": 1250, "pending": 0, "held": 0}]
    assert document["money"]["liability_minor"] == 13
    rows = (await run("points", "--csv")).output.splitlines()
    assert rows == ["age,outstanding,breakage_rate,breakage", "0,1250,0,0"]
    assert (await run("nothing")).exit_code == 2
