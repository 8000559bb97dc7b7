"""Posting through the real server: answers, refusals, idempotency."""

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import grpc
import prometheus_client
import pytest
from tessera.ledger.v1 import asset_pb2, batch_pb2, error_reason_pb2, ledger_service_pb2

from services.chassis import errors, ids, status, timestamps
from services.ledger import engine, wire
from services.ledger.committer import Committer
from services.ledger.storage import Assets, literals, postings
from tests.integration.ledger.conftest import (
    MEMBER,
    WORLD,
    account,
    move,
    release,
    running,
    undo,
    world,
)

pb = ledger_service_pb2
POSTED, REFUSED = batch_pb2.BATCH_STATE_POSTED, batch_pb2.BATCH_STATE_REFUSED


def _reason(result):
    return error_reason_pb2.ErrorReason.Name(result.refusal.reason).removeprefix("ERROR_REASON_")


async def _refused_call(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return status.read(caught.value)


async def test_a_posting_moves_and_tells(ledger):
    """The answer carries what moved, from which lots, and what is left."""
    anna = ledger.member()
    earned = await ledger.earn(anna, 100)
    balance = earned.balances[0]
    assert (earned.state, balance.available, balance.version) == (POSTED, 100, 1)
    spent = await ledger.spend(anna, 30)
    assert (spent.operations[0].amount, spent.operations[0].taken[0].amount) == (30, 30)
    assert await ledger.available(anna) == 70
    back = await ledger.post(undo(spent, 10))
    assert back.balances[0].available == 80


async def test_the_same_batch_again_gets_the_stored_answer(ledger):
    """Word for word, but for the mark that it is a repetition."""
    anna = ledger.member()
    batch = ledger.batch(move(world(), anna, 100))
    first, second = (await ledger.send(batch))[0], (await ledger.send(batch))[0]
    assert (first.replayed, second.replayed) == (False, True)
    second.replayed = False
    assert first == second
    assert await ledger.available(anna) == 100


async def test_fifty_callers_with_one_batch_post_it_once(ledger):
    """Whether they share a transaction or not."""
    anna = ledger.member()
    batch = ledger.batch(move(world(), anna, 100))
    results = [
        result[0] for result in await asyncio.gather(*(ledger.send(batch) for _ in range(50)))
    ]
    assert sum(not result.replayed for result in results) == 1
    assert {result.record_time.ToNanoseconds() for result in results} == {
        results[0].record_time.ToNanoseconds()
    }
    assert (await ledger.balances(anna))[0].version == 1


async def test_one_call_may_repeat_itself(ledger):
    """A batch that comes twice in a call is posted once."""
    anna = ledger.member()
    batch = ledger.batch(move(world(), anna, 100))
    results = await ledger.send(batch, batch)
    assert [result.replayed for result in results] == [False, True]
    assert await ledger.available(anna) == 100


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (
            lambda batch: batch.operations[0].transfer.__setattr__("amount", 101),
            "operations[0].transfer.amount",
        ),
        (
            lambda batch: batch.operations[0].transfer.credit.__setattr__("owner_id", "mem_x"),
            "operations[0].transfer.credit.owner_id",
        ),
        (lambda batch: batch.operations.add().CopyFrom(batch.operations[0]), "operations[1]"),
        (lambda batch: batch.__setattr__("receipt_id", "other"), "receipt_id"),
        (
            lambda batch: batch.operations[0].transfer.lot_expire_time.GetCurrentTime(),
            "operations[0].transfer.lot_expire_time",
        ),
    ],
)
async def test_an_id_with_another_body_is_refused_and_names_the_field(ledger, change, field):
    """The first field that differs; nothing moves, and the first answer stands."""
    anna = ledger.member()
    batch = ledger.batch(move(world(), anna, 100))
    await ledger.send(batch)
    other = batch_pb2.Batch()
    other.CopyFrom(batch)
    change(other)
    result = (await ledger.send(other))[0]
    assert (result.state, _reason(result)) == (REFUSED, "BATCH_CONFLICT")
    assert (result.refusal.metadata["field"], result.refusal.operation_index) == (field, -1)
    assert await ledger.available(anna) == 100
    assert (await ledger.send(batch))[0].state == POSTED


async def test_a_conflict_is_noticed_inside_of_one_group(ledger):
    """Of two bodies under one id in one call, the first wins."""
    anna = ledger.member()
    batch = ledger.batch(move(world(), anna, 100))
    other = ledger.batch(
        move(world(), anna, 7), batch_id=batch.batch_id, occurred_time=batch.occurred_time
    )
    first, second = await ledger.send(batch, other)
    assert (first.state, _reason(second)) == (POSTED, "BATCH_CONFLICT")
    assert await ledger.available(anna) == 100


async def test_a_refusal_is_frozen(ledger):
    """A replay does not succeed later, when there would be enough; a new id does."""
    anna = ledger.member()
    batch = ledger.batch(move(anna, world(), 10))
    first = (await ledger.send(batch))[0]
    assert _reason(first) == "INSUFFICIENT_FUNDS"
    await ledger.earn(anna, 100)
    second = (await ledger.send(batch))[0]
    assert (second.replayed, _reason(second)) == (True, "INSUFFICIENT_FUNDS")
    assert (await ledger.spend(anna, 10)).state == POSTED
    assert await ledger.available(anna) == 90


async def test_a_refused_batch_does_not_disturb_its_neighbours(ledger):
    """In one call and in one transaction."""
    anna, boris = ledger.member(), ledger.member()
    results = await ledger.send(
        ledger.batch(move(world(), anna, 10)),
        ledger.batch(move(world(), boris, 5), move(anna, world(), 11)),
        ledger.batch(move(anna, world(), 4)),
    )
    assert [result.state for result in results] == [POSTED, REFUSED, POSTED]
    assert [await ledger.available(one) for one in (anna, boris)] == [6, 0]
    stored = await ledger.stub.GetBatch(pb.GetBatchRequest(batch_id=results[1].batch_id))
    assert stored.result.replayed
    assert stored.result.refusal == results[1].refusal


async def test_every_reason_of_a_batch_is_given(ledger):
    """One batch for each, with the facts that it promises."""
    anna, boris = ledger.member(), ledger.member()
    mug = ledger.member("mugs")
    await ledger.asset("mugs", ceiling=2)
    earned = await ledger.earn(anna, 50)
    nobody = batch_pb2.BatchResult(batch_id=ids.new("bat"))
    later = timestamps.show(ledger.now() + timedelta(seconds=90))
    soon = timestamps.show(ledger.now() + timedelta(days=1))
    taken = ledger.batch(move(world(), anna, 1))
    await ledger.send(taken)
    cases = {
        "BATCH_CONFLICT": ledger.batch(move(world(), anna, 2), batch_id=taken.batch_id),
        "OCCURRED_IN_FUTURE": ledger.batch(move(world(), anna, 1), occurred_time=later),
        "ASSET_NOT_FOUND": ledger.batch(move(world("gold"), ledger.member("gold"), 1)),
        "ACCOUNTS_MUST_DIFFER": ledger.batch(move(anna, anna, 1)),
        "LOTS_NOT_KEPT": ledger.batch(move(world("mugs"), mug, 1, lot_expire_time=soon)),
        "TRANSFER_NOT_FOUND": ledger.batch(undo(nobody, 1)),
        "NOT_REVERSIBLE": ledger.batch(release(earned)),
        "EXCEEDS_REVERSIBLE": ledger.batch(undo(earned, 51)),
        "INSUFFICIENT_FUNDS": ledger.batch(move(boris, world(), 1)),
        "CEILING_EXCEEDED": ledger.batch(move(world("mugs"), mug, 3)),
    }
    results = await ledger.send(*cases.values())
    assert [_reason(result) for result in results] == list(cases)
    facts = {_reason(result): dict(result.refusal.metadata) for result in results}
    assert facts["ASSET_NOT_FOUND"] == {"asset_code": "gold"}
    assert facts["EXCEEDS_REVERSIBLE"] == {"remaining": "50"}
    assert facts["INSUFFICIENT_FUNDS"] == {"available": "0", "required": "1"}
    assert facts["CEILING_EXCEEDED"] == {"room": "2", "required": "3"}
    assert await ledger.available(anna) == 51


async def test_every_reason_of_a_call_is_given(ledger):
    """As the status of the call, with the reason in its details."""
    anna = ledger.member()
    await ledger.earn(anna, 5)
    stub = ledger.stub
    gold = ledger.member("gold")
    lots = asset_pb2.LotPolicy(time_zone="Mars/Olympus")
    cases = {
        "BATCH_NOT_FOUND": stub.GetBatch(pb.GetBatchRequest(batch_id=ids.new("bat"))),
        "ASSET_NOT_FOUND": stub.GetBalances(pb.GetBalancesRequest(accounts=[anna, gold])),
        "ASSET_CONFLICT": stub.CreateAsset(
            pb.CreateAssetRequest(asset=asset_pb2.Asset(asset_code="coins", scale=2))
        ),
        "TIME_ZONE_UNKNOWN": stub.CreateAsset(
            pb.CreateAssetRequest(asset=asset_pb2.Asset(asset_code="dust", lot_policy=lots))
        ),
        "PAGE_TOKEN_INVALID": stub.ListEntries(
            pb.ListEntriesRequest(account=anna, page_token="nonsense")
        ),
        "LIMIT_CONFLICT": stub.SetAccountLimits(
            pb.SetAccountLimitsRequest(account=anna, ceiling=4)
        ),
    }
    answers = {reason: await _refused_call(call) for reason, call in cases.items()}
    assert [answer.reason for answer in answers.values()] == list(cases)
    assert {answer.domain for answer in answers.values()} == {"ledger.tessera"}
    assert answers["ASSET_CONFLICT"].metadata == {"field": "scale"}
    assert answers["LIMIT_CONFLICT"].metadata == {"balance": "5"}
    for call in (stub.GetAsset, stub.ListEntries, stub.ListLots):
        request = (
            pb.GetAssetRequest(asset_code="gold")
            if call is stub.GetAsset
            else (pb.ListEntriesRequest if call is stub.ListEntries else pb.ListLotsRequest)(
                account=gold
            )
        )
        assert (await _refused_call(call(request))).reason == "ASSET_NOT_FOUND"


async def test_malformed_batches_are_refused_as_a_whole_and_change_nothing(ledger):
    """Zero, negative and huge amounts, unknown kinds, texts that no database stores."""
    anna = ledger.member()
    good = move(world(), anna, 1)
    broken = [
        move(world(), anna, 0),
        move(world(), anna, -5),
        move(world(), anna, 10**15 + 1),
        move(world(), anna, 1, reason=0),
        move(world(), anna, 1, reason=3),
        move(world(), anna, 1, campaign_id="a\0b"),
        move(world(), account("", "points"), 1),
        batch_pb2.Operation(),
    ]
    for operation in broken:
        answer = await _refused_call(ledger.post(good, operation))
        assert answer.category == errors.Category.INVALID_ARGUMENT
    for fields in ({"batch_id": "bat_1"}, {"receipt_id": "x" * 65}):
        answer = await _refused_call(ledger.post(good, **fields))
        assert answer.category == errors.Category.INVALID_ARGUMENT
    assert (await ledger.balances(anna))[0].version == 0


async def test_a_malformed_call_disturbs_nobody_in_its_group(ledger):
    """Requests are read together, and each caller hears of its own faults alone."""
    anna = ledger.member()
    good = [ledger.post(move(world(), anna, 1)) for _ in range(20)]
    bad = [_refused_call(ledger.post(move(world(), anna, -1))) for _ in range(20)]
    mixed = [call for pair in zip(good, bad, strict=True) for call in pair]
    answers = await asyncio.gather(*mixed)
    assert {answer.state for answer in answers[::2]} == {POSTED}
    assert {answer.reason for answer in answers[1::2]} == {"INVALID_REQUEST"}
    assert await ledger.available(anna) == 20


async def test_assets_are_made_once(ledger):
    """The same again is fine and answers the first."""
    policy = asset_pb2.LotPolicy(
        pending_days=3,
        calendar=asset_pb2.CalendarExpiry(
            days=[asset_pb2.MonthDay(month=12, day=31)], minimum_days=30
        ),
        time_zone="Asia/Yekaterinburg",
    )
    first = await ledger.asset("winter", scale=2, lot_policy=policy, ceiling=500)
    assert await ledger.asset("winter", scale=2, lot_policy=policy, ceiling=500) == first
    found = await ledger.stub.GetAsset(pb.GetAssetRequest(asset_code="winter"))
    assert found.asset == first
    assert first.lot_policy == policy


async def test_limits_belong_to_one_account(ledger):
    """A floor lets one partner owe; a ceiling counts one member's uses."""
    partner, other = ledger.member("coins"), ledger.member("coins")
    request = pb.SetAccountLimitsRequest(account=partner, floor=-50, ceiling=10)
    first = (await ledger.stub.SetAccountLimits(request)).balance
    again = (await ledger.stub.SetAccountLimits(request)).balance
    assert (first.version, again.version) == (1, 1)
    assert (await ledger.spend(partner, 50)).state == POSTED
    assert _reason(await ledger.spend(partner, 1)) == "INSUFFICIENT_FUNDS"
    assert _reason(await ledger.earn(partner, 61)) == "CEILING_EXCEEDED"
    assert await ledger.available(partner) == -50
    assert _reason(await ledger.spend(other, 1)) == "INSUFFICIENT_FUNDS"
    lifted = await ledger.stub.SetAccountLimits(
        pb.SetAccountLimitsRequest(account=partner, floor=-50)
    )
    assert lifted.balance.version == 3
    assert (await ledger.earn(partner, 1000)).state == POSTED


async def test_limits_may_not_contradict_the_balance(ledger):
    """And accounts that keep lots have nothing below zero."""
    anna = ledger.member("coins")
    await ledger.earn(anna, 100)
    for account_, limits in ((anna, {"ceiling": 99}), (ledger.member("points"), {"floor": -1})):
        answer = await _refused_call(
            ledger.stub.SetAccountLimits(pb.SetAccountLimitsRequest(account=account_, **limits))
        )
        assert answer.reason == "LIMIT_CONFLICT"


async def test_claiming_back_survives_the_database(ledger):
    """Reversals in parts, in several groups, against one transfer."""
    anna = ledger.member()
    purchase = await ledger.post(
        move(world(), anna, 100), move(anna, world("points", "redemption"), 60)
    )
    for amount in (10, 20, 30):
        assert (await ledger.post(undo(purchase, amount, index=1))).state == POSTED
    exceeded = await ledger.post(undo(purchase, 1, index=1))
    assert (_reason(exceeded), exceeded.refusal.metadata["remaining"]) == (
        "EXCEEDS_REVERSIBLE",
        "0",
    )
    assert (await ledger.post(undo(purchase, 100))).state == POSTED
    assert await ledger.available(anna) == 0
    assert _reason(await ledger.post(undo(exceeded, 1))) == "TRANSFER_NOT_FOUND"
    assert _reason(await ledger.post(undo(purchase, 1, index=2))) == "TRANSFER_NOT_FOUND"


async def test_a_transfer_that_found_nothing_cannot_be_undone(ledger):
    """Though the account that it asked was never opened."""
    anna = ledger.member()
    nothing = await ledger.post(
        move(anna, world("points", "redemption"), 5, up_to=True),
        move(anna, ledger.member(), 5, up_to=True),
    )
    assert [one.amount for one in nothing.operations] == [0, 0]
    for index in (0, 1):
        refused = await ledger.post(undo(nothing, 1, index=index))
        assert _reason(refused) == "EXCEEDS_REVERSIBLE"
        assert refused.refusal.metadata == {"remaining": "0"}
        assert _reason(await ledger.post(release(nothing, index))) == "NOT_REVERSIBLE"


async def test_ten_refunds_at_once_share_the_limit(ledger):
    """60 of 100 fit once."""
    anna = ledger.member()
    purchase = await ledger.earn(anna, 100)
    results = await asyncio.gather(*(ledger.post(undo(purchase, 60)) for _ in range(10)))
    assert sorted(result.state for result in results) == [POSTED, *[REFUSED] * 9]
    assert {_reason(result) for result in results if result.state == REFUSED} == {
        "EXCEEDS_REVERSIBLE"
    }


async def test_two_ledgers_give_one_answer_to_one_id(ledger, ledger_database, valkey):
    """The same batch at the same time through two processes' worth of ledgers."""
    async with running(ledger_database, valkey.url) as second:
        for _ in range(20):
            anna = ledger.member()
            batch = ledger.batch(move(world(), anna, 10))
            results = await asyncio.gather(
                *(one.send(batch) for one in (ledger, second) for _ in range(5))
            )
            posted = {result[0].record_time.ToNanoseconds() for result in results}
            assert len(posted) == 1
            assert await ledger.truth(anna) == 10


async def test_two_ledgers_share_one_hot_account(ledger, ledger_database, valkey):
    """Nothing is lost, nothing is spent twice, nobody waits for ever."""
    async with running(ledger_database, valkey.url) as second:
        anna, boris = ledger.member(), ledger.member()
        await ledger.earn(anna, 100)
        await ledger.earn(boris, 100)

        async def shuffle(one, debit, credit):
            return [(await one.post(move(debit, credit, 3))).state for _ in range(20)]

        await asyncio.gather(
            *(shuffle(one, anna, boris) for one in (ledger, second) for _ in range(4)),
            *(shuffle(one, boris, anna) for one in (ledger, second) for _ in range(4)),
        )
        left = [await ledger.truth(one) for one in (anna, boris)]
        assert sum(left) == 200
        assert min(left) >= 0
        states = await asyncio.gather(
            *(one.spend(anna, left[0] // 2 + 1) for one in (ledger, second) for _ in range(5))
        )
        assert [result.state for result in states].count(POSTED) == 1


async def test_a_spend_reads_the_first_lots_of_thousands(ledger):
    """Neither those behind them nor the exhausted ones before them, which expired earlier."""
    anna = ledger.member()
    now = ledger.now()
    for start in range(0, 4000, 200):
        terms = [
            {"lot_expire_time": timestamps.show(now + timedelta(days=1 + number))}
            for number in range(start, start + 200)
        ]
        result = await ledger.post(*(move(world(), anna, 10, **one) for one in terms))
        assert result.state == POSTED
    assert (await ledger.spend(anna, 20_005)).state == POSTED
    assert (await ledger.spend(anna, 10)).balances[0].available == 19_985
    row = await ledger.db.fetchrow(
        "SELECT account_id, lots_from_time FROM accounts WHERE balance = 19985"
    )
    arguments = literals.uuids([row[0]]), literals.instants([row[1]]), [postings.LOTS_BRIEF]
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {postings._LOTS}"
    plan = json.loads(await ledger.db.fetchval(explain, *arguments))[0]["Plan"]
    scans = [node for node in _nodes(plan) if node.get("Relation Name") == "lots"]
    read = [node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans]
    assert len(read) == 1
    assert read[0] <= 2 * postings.LOTS_BRIEF
    assert (await ledger.spend(anna, 19_985)).balances[0].available == 0


@pytest.mark.parametrize(
    ("amount", "read", "has_more"), [(79, postings.LOTS_BRIEF, True), (80, 20, False)]
)
async def test_who_spends_the_first_lots_up_has_all_read_before_anything_is_decided(
    ledger, amount, read, has_more
):
    """The amounts of a group say so beforehand, and its other batches are decided once."""
    anna, now = ledger.member(), ledger.now()
    for day in range(1, 21):
        await ledger.earn(anna, 10, lot_expire_time=timestamps.show(now + timedelta(days=day)))
    key = engine.key("points", MEMBER, anna.owner.owner_id)
    shop = engine.key("points", WORLD, "shop")
    spend = engine.Transfer(
        key, shop, amount - 1, 1, "", up_to=False, activates_at=None, expires_at=None
    )
    batch = engine.Batch(uuid4(), (spend, spend._replace(amount=1)), "", "", now)
    assets = await Assets(ledger.db).get({"points"})
    plan = engine.plan([batch], assets=assets, targets={})
    found = postings.Postings(ledger.db)
    async with found.round(with_locks=False) as source:
        tables = await found.read(plan, [], now=now, source=source, with_locks=False)
    account = tables.accounts[key.id]
    assert (len(account.lots or ()), account.has_more) == (read, has_more)
    assert tables.reread == (not has_more)


async def test_second_reads_of_lots_are_counted(ledger):
    """Of an account that says so beforehand, and of a group where deciding finds out."""

    def counted():
        return [
            prometheus_client.REGISTRY.get_sample_value("ledger_second_reads_total", {"of": kind})
            for kind in ("accounts", "groups")
        ]

    anna = ledger.member()
    for day in range(1, 21):
        ends = timestamps.show(ledger.now() + timedelta(days=day))
        await ledger.earn(anna, 10, lot_expire_time=ends)
    accounts, groups = counted()
    await ledger.spend(anna, 20)
    assert counted() == [accounts, groups]
    await ledger.spend(anna, 80)
    assert counted() == [accounts + 1, groups]
    # The last of the first lots is all that is left of them: others may expire as early.
    await ledger.spend(anna, 75)
    assert counted() == [accounts + 1, groups + 1]


def _nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


class LateAssets(Assets):
    """Assets that something else happens before they are found: here a batch of another ledger."""

    def __init__(self, source, meanwhile):
        super().__init__(source)
        self.meanwhile = meanwhile

    async def get(self, codes):
        while self.meanwhile:
            await self.meanwhile.pop()()
        return await super().get(codes)


async def test_a_batch_that_is_repeated_is_found_by_what_follows_it_in_the_call(ledger):
    """Though another process posted it only after this one had looked for it."""
    anna = ledger.member()
    earned = ledger.batch(move(world(), anna, 100))
    undone = ledger.batch(undo(earned, 40))

    async def elsewhere():
        await ledger.send(earned)

    async def publish(balances):
        assert balances

    assets = LateAssets(ledger.db, [elsewhere])
    committer = Committer(postings.Postings(ledger.db), assets, publish=publish, now=ledger.now)
    at_work = asyncio.create_task(committer.run())
    first, second = await committer.post([wire.order(earned), wire.order(undone)])
    at_work.cancel()
    assert (first.replayed, first.state, second.state) == (True, POSTED, POSTED)
    assert await ledger.truth(anna) == 60
