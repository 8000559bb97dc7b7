"""Corrections by hand over the wire, with the tokens of several operators."""

import asyncio
from collections import Counter
from datetime import timedelta

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    adjustment_service_pb2,
    adjustment_service_pb2_grpc,
    asset_pb2,
    ledger_service_pb2,
)

from services.chassis import ids, status, timestamps
from services.ledger import adjusting, storage
from services.ledger.committer import Committer
from tests.integration.chassis.conftest import Issuer
from tests.integration.ledger.conftest import account, running, world

pb = adjustment_service_pb2
POSTED, PENDING = pb.ADJUSTMENT_STATE_POSTED, pb.ADJUSTMENT_STATE_PENDING
SCOPES = (
    "adjustments.propose adjustments.approve adjustments.read adjustments.limits"
    " ledger.read ledger.post assets.write"
)


class Desk:
    """The stub as one operator calls it."""

    def __init__(self, ledger, stub, issuer, name):
        self._ledger, self._stub, self.name = ledger, stub, name
        self._metadata = issuer.metadata(sub=name, scope=SCOPES)

    async def propose(self, key, amount, **fields):
        fields.setdefault("adjustment_id", ids.new("adj"))
        fields.setdefault("reason", pb.ADJUSTMENT_REASON_GOODWILL)
        fields.setdefault("note", "late delivery")
        request = pb.ProposeAdjustmentRequest(account=key, amount=amount, **fields)
        return (await self("ProposeAdjustment", request)).adjustment

    async def approve(self, one, **fields):
        request = pb.ApproveAdjustmentRequest(adjustment_id=one.adjustment_id, **fields)
        return (await self("ApproveAdjustment", request)).adjustment

    async def reject(self, one):
        request = pb.RejectAdjustmentRequest(adjustment_id=one.adjustment_id, note="not ours")
        return (await self("RejectAdjustment", request)).adjustment

    async def get(self, one):
        request = pb.GetAdjustmentRequest(adjustment_id=one.adjustment_id)
        return (await self("GetAdjustment", request)).adjustment

    async def limit(self, operator_id, amount, day):
        limit = pb.AdjustmentLimit(
            asset_code="points", operator_id=operator_id, amount_max=amount, day_amount_max=day
        )
        request = pb.SetAdjustmentLimitRequest(limit=limit)
        return (await self("SetAdjustmentLimit", request)).limit

    async def available(self, key):
        request = ledger_service_pb2.GetBalancesRequest(accounts=[key])
        call = self._ledger.stub.GetBalances(request, metadata=self._metadata)
        return (await call).balances[0].available

    async def __call__(self, method, request):
        return await getattr(self._stub, method)(request, metadata=self._metadata)


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture(scope="module")
async def guarded(ledger_database, valkey, issuer):
    async with running(ledger_database, valkey.url, verifier=issuer.verifier()) as started:
        policy = asset_pb2.LotPolicy(time_zone="UTC")
        for asset in (
            asset_pb2.Asset(asset_code="points", lot_policy=policy),
            asset_pb2.Asset(asset_code="coins"),
        ):
            request = ledger_service_pb2.CreateAssetRequest(asset=asset)
            await started.stub.CreateAsset(request, metadata=issuer.metadata(scope=SCOPES))
        yield started


@pytest.fixture(scope="module")
def desk(guarded, issuer):
    stub = adjustment_service_pb2_grpc.AdjustmentServiceStub(guarded.channel)
    return lambda name: Desk(guarded, stub, issuer, name)


@pytest.fixture(scope="module", autouse=True)
async def _limit(desk):
    await desk("boss").limit("", 100, 250)


async def _refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return status.read(caught.value)


def _acts(one):
    return [(act.action, act.operator_id) for act in one.acts]


async def test_within_the_limit_it_is_posted_at_once(guarded, desk):
    """As an ordinary batch that names the operator of the token."""
    mila, anna = desk("mila"), guarded.member()
    done = await mila.propose(anna, 100, operator_name="Mila at desk 4")
    assert (done.state, done.amount) == (POSTED, 100)
    assert _acts(done) == [(pb.ADJUSTMENT_ACTION_PROPOSE, "mila")]
    assert (done.acts[0].operator_name, done.acts[0].note) == ("Mila at desk 4", "late delivery")
    assert await mila.available(anna) == 100
    row = await guarded.db.fetchrow(
        "SELECT operator_id FROM batches WHERE batch_id = $1",
        ids.parse("bat", done.batch_id),
    )
    assert row["operator_id"] == "mila"
    taken = await mila.propose(anna, -30)
    assert taken.state == POSTED
    assert await mila.available(anna) == 70


async def test_above_it_a_second_person_is_needed(guarded, desk):
    mila, nina, anna = desk("mona"), desk("nina"), guarded.member()
    waiting = await mila.propose(anna, 101)
    assert waiting.state == PENDING
    assert await mila.available(anna) == 0
    refusal = await _refusal(mila.approve(waiting))
    assert refusal.reason == "SAME_OPERATOR"
    done = await nina.approve(waiting, note="fine")
    assert done.state == POSTED
    assert _acts(done) == [
        (pb.ADJUSTMENT_ACTION_PROPOSE, "mona"),
        (pb.ADJUSTMENT_ACTION_APPROVE, "nina"),
    ]
    assert await mila.available(anna) == 101
    assert await nina.approve(waiting) == done
    third = await _refusal(desk("olga").approve(waiting))
    assert (third.reason, third.metadata["state"]) == ("ADJUSTMENT_DECIDED", "POSTED")
    assert await mila.available(anna) == 101


async def test_a_rejected_one_is_never_posted(guarded, desk):
    pia, anna = desk("pia"), guarded.member()
    waiting = await pia.propose(anna, 500)
    done = await desk("nina").reject(waiting)
    assert done.state == pb.ADJUSTMENT_STATE_REJECTED
    assert (await desk("nina").reject(waiting)).state == pb.ADJUSTMENT_STATE_REJECTED
    refusal = await _refusal(desk("nina").approve(waiting))
    assert refusal.reason == "ADJUSTMENT_DECIDED"
    assert await pia.available(anna) == 0


async def test_small_ones_add_up_to_the_limit_of_a_day(guarded, desk):
    """Many at the same time included; what others approved does not count."""
    rita, anna = desk("rita"), guarded.member()
    big = await rita.propose(anna, 5000)
    await desk("nina").approve(big)
    done = await asyncio.gather(*(rita.propose(anna, 100 if n % 2 else -100) for n in range(8)))
    states = Counter(one.state for one in done)
    assert states[PENDING] == 6
    guarded.now.ahead = timedelta(hours=25)
    try:
        assert (await rita.propose(anna, 100)).state == POSTED
    finally:
        guarded.now.ahead = timedelta(0)


async def test_an_operators_own_limit_counts_instead_of_everybodys(guarded, desk):
    boss, anna = desk("boss"), guarded.member()
    await boss.limit("sven", 5, 5)
    await boss.limit("tess", 1000, 1000)
    assert (await desk("sven").propose(anna, 6)).state == PENDING
    assert (await desk("tess").propose(anna, 1000)).state == POSTED
    request = pb.ListAdjustmentLimitsRequest(asset_code="points", page_size=2)
    page = await boss("ListAdjustmentLimits", request)
    request.page_token = page.next_page_token
    rest = await boss("ListAdjustmentLimits", request)
    assert [limit.operator_id for limit in (*page.limits, *rest.limits)] == ["", "sven", "tess"]
    rows = await guarded.db.fetch(
        "SELECT set_by FROM adjustment_limit_acts WHERE operator_id = 'sven'"
    )
    assert [row["set_by"] for row in rows] == ["boss"]


async def test_without_any_limit_nothing_is_posted_alone(guarded, desk):
    coins = guarded.member("coins")
    assert (await desk("mila").propose(coins, 1)).state == PENDING


async def test_a_repetition_changes_nothing(guarded, desk):
    """The id with another body, or from another operator, is refused."""
    uma, anna = desk("uma"), guarded.member()
    done = await uma.propose(anna, 40)
    again = await uma.propose(anna, 40, adjustment_id=done.adjustment_id)
    assert again == done
    other = await _refusal(uma.propose(anna, 41, adjustment_id=done.adjustment_id))
    assert (other.reason, other.metadata["field"]) == ("ADJUSTMENT_CONFLICT", "amount")
    thief = await _refusal(desk("vera").propose(anna, 40, adjustment_id=done.adjustment_id))
    assert (thief.reason, thief.metadata["field"]) == ("ADJUSTMENT_CONFLICT", "operator")
    assert await uma.available(anna) == 40


async def test_what_the_ledger_refuses_is_told(guarded, desk):
    """And stays so."""
    wanda, anna = desk("wanda"), guarded.member()
    done = await wanda.propose(anna, -5)
    assert (done.state, done.refusal_reason) == (
        pb.ADJUSTMENT_STATE_REFUSED,
        "INSUFFICIENT_FUNDS",
    )
    await wanda.propose(anna, 50)
    assert (await wanda.get(done)).state == pb.ADJUSTMENT_STATE_REFUSED


async def test_given_points_expire_when_the_operator_says(guarded, desk):
    xena, anna = desk("xena"), guarded.member()
    expires = timestamps.show(guarded.now() + timedelta(days=3))
    done = await xena.propose(anna, 9, lot_expire_time=expires)
    assert done.lot_expire_time == expires
    request = ledger_service_pb2.ListLotsRequest(account=anna)
    call = guarded.stub.ListLots(request, metadata=xena._metadata)
    assert [lot.expire_time for lot in (await call).lots] == [expires]


async def test_adjustments_are_listed_by_state_and_account(guarded, desk):
    """Newest first, page by page."""
    yara, anna = desk("yara"), guarded.member()
    amounts = [1, 2, 500, 3]
    made = [await yara.propose(anna, amount) for amount in amounts]
    request = pb.ListAdjustmentsRequest(account=anna, page_size=3)
    page = await yara("ListAdjustments", request)
    request.page_token = page.next_page_token
    rest = await yara("ListAdjustments", request)
    listed = [one.amount for one in (*page.adjustments, *rest.adjustments)]
    assert listed == amounts[::-1]
    request = pb.ListAdjustmentsRequest(account=anna, state=PENDING)
    waiting = await yara("ListAdjustments", request)
    assert [one.adjustment_id for one in waiting.adjustments] == [made[2].adjustment_id]
    request = pb.ListAdjustmentsRequest(state=PENDING, page_size=1)
    assert (await yara("ListAdjustments", request)).next_page_token


async def test_nobody_approves_what_has_waited_too_long(guarded, desk):
    """It is closed in time, whoever looks."""
    zoe, anna = desk("zoe"), guarded.member()
    waiting = await zoe.propose(anna, 700)
    guarded.now.ahead = timedelta(days=15)
    try:
        assert (await zoe.get(waiting)).state == pb.ADJUSTMENT_STATE_EXPIRED
        refusal = await _refusal(desk("nina").approve(waiting))
        assert refusal.metadata["state"] == "EXPIRED"
        async with _work(guarded) as work:
            await work.settle()
        closed = await zoe.get(waiting)
        assert closed.state == pb.ADJUSTMENT_STATE_EXPIRED
        assert _acts(closed)[1:] == [(pb.ADJUSTMENT_ACTION_EXPIRE, "")]
    finally:
        guarded.now.ahead = timedelta(0)


async def test_what_a_lost_process_left_approved_is_posted(guarded, desk):
    """Once, though somebody else has posted it meanwhile."""
    anna = guarded.member()
    waiting = await desk("mila2").propose(anna, 800)
    done = await desk("nina").approve(waiting)
    await guarded.db.execute(
        "UPDATE adjustments SET state = 2 WHERE adjustment_id = $1",
        ids.parse("adj", done.adjustment_id),
    )
    guarded.now.ahead = timedelta(seconds=11)
    try:
        async with _work(guarded) as work:
            await work.settle()
        assert (await desk("nina").get(done)).state == POSTED
        assert await desk("nina").available(anna) == 800
    finally:
        guarded.now.ahead = timedelta(0)


def _work(ledger):
    """Return what the ledger does in the background, on its database."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def opened():
        async def publish(balances):
            assert balances

        assets = storage.Assets(ledger.db)
        committer = Committer(storage.Postings(ledger.db), assets, publish=publish, now=ledger.now)
        running_ = asyncio.create_task(committer.run())
        try:
            yield adjusting.Adjusting(
                storage.Adjustments(ledger.db),
                committer,
                life=timedelta(days=14),
                now=ledger.now,
            )
        finally:
            running_.cancel()

    return opened()


async def test_refusals(guarded, desk):
    """Each with its reason."""
    mila, anna = desk("mila"), guarded.member()
    nothing = pb.Adjustment(adjustment_id=ids.new("adj"))
    soon = timestamps.show(guarded.now() + timedelta(days=1))
    past = timestamps.show(guarded.now() - timedelta(days=1))
    limit = pb.AdjustmentLimit(asset_code="nothing")
    limit_request = pb.SetAdjustmentLimitRequest(limit=limit)
    bad_page = pb.ListAdjustmentsRequest(page_token="AAAA")
    bad_limits = pb.ListAdjustmentLimitsRequest(asset_code="points", page_token="AAAA")
    owner = account_pb2.OWNER_TYPE_MEMBER
    cases = [
        (mila.propose(account("a", "nothing", owner), 1), "ASSET_NOT_FOUND"),
        (mila.propose(world(), 1), "INVALID_REQUEST"),
        (mila.propose(anna, 0), "INVALID_REQUEST"),
        (mila.propose(anna, 1, note="    "), "INVALID_REQUEST"),
        (mila.propose(anna, 1, note="\a\b\t"), "INVALID_REQUEST"),
        (mila.propose(anna, -1, lot_expire_time=soon), "INVALID_REQUEST"),
        (mila.propose(guarded.member("coins"), 1, lot_expire_time=soon), "LOTS_NOT_KEPT"),
        (mila.propose(anna, 1, lot_expire_time=past), "TIME_NOT_FUTURE"),
        (mila.approve(nothing), "ADJUSTMENT_NOT_FOUND"),
        (mila.reject(nothing), "ADJUSTMENT_NOT_FOUND"),
        (mila.get(nothing), "ADJUSTMENT_NOT_FOUND"),
        (mila("SetAdjustmentLimit", limit_request), "ASSET_NOT_FOUND"),
        (mila("ListAdjustments", bad_page), "PAGE_TOKEN_INVALID"),
        (mila("ListAdjustmentLimits", bad_limits), "PAGE_TOKEN_INVALID"),
    ]
    for call, reason in cases:
        assert (await _refusal(call)).reason == reason
