"""Households over the wire: pooled, spent, divided."""

from datetime import timedelta

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    asset_pb2,
    batch_pb2,
    error_reason_pb2,
    household_service_pb2,
    household_service_pb2_grpc,
    ledger_service_pb2,
)

from services.chassis import ids, status, timestamps
from tests.integration.ledger.conftest import account, undo

pb = household_service_pb2
HOUSEHOLD = account_pb2.OWNER_TYPE_HOUSEHOLD


@pytest.fixture(scope="module")
def homes(ledger):
    return household_service_pb2_grpc.HouseholdServiceStub(ledger.channel)


@pytest.fixture
def home():
    return account(ids.new("hou"), owner_type=HOUSEHOLD)


def _pool(ledger, home, *members, **fields):
    fields.setdefault("batch_id", ids.new("bat"))
    fields.setdefault("occurred_time", timestamps.show(ledger.now()))
    return pb.PoolPointsRequest(
        household_id=home.owner.owner_id,
        asset_code=home.asset_code,
        member_ids=[member.owner.owner_id for member in members],
        **fields,
    )


def _split(ledger, home, weights, **fields):
    fields.setdefault("batch_id", ids.new("bat"))
    fields.setdefault("occurred_time", timestamps.show(ledger.now()))
    return pb.SplitPointsRequest(
        household_id=home.owner.owner_id,
        asset_code=home.asset_code,
        members=[
            pb.SplitMember(member_id=member.owner.owner_id, common_weight=weight)
            for member, weight in weights
        ],
        **fields,
    )


async def _lots(ledger, key):
    request = ledger_service_pb2.ListLotsRequest(account=key)
    lots = (await ledger.stub.ListLots(request)).lots
    return [(lot.remaining, lot.activate_time, lot.expire_time) for lot in lots]


async def _shares(homes, home):
    request = pb.GetHouseholdSharesRequest(
        household_id=home.owner.owner_id, asset_code=home.asset_code
    )
    return await homes.GetHouseholdShares(request)


async def test_pooled_and_divided_points_are_what_they_were(ledger, homes, home):
    """Every lot with its expiry, of every member."""
    members = [ledger.member() for _ in range(3)]
    for number, member in enumerate(members):
        for days in (3, 9, None):
            terms = {}
            if days:
                expires = ledger.now() + timedelta(days=days + number)
                terms["lot_expire_time"] = timestamps.show(expires)
            await ledger.earn(member, 10 * (number + 1) + (days or 0), **terms)
    before = [await _lots(ledger, member) for member in members]
    pooled = (await homes.PoolPoints(_pool(ledger, home, *members))).result
    assert pooled.state == batch_pb2.BATCH_STATE_POSTED
    assert [await ledger.available(member) for member in members] == [0, 0, 0]
    total = sum(remaining for lots in before for remaining, *_ in lots)
    assert await ledger.available(home) == total == sum(one.amount for one in pooled.operations)
    request = _split(ledger, home, [(member, 1) for member in members])
    divided = (await homes.SplitPoints(request)).result
    assert [one.amount for one in divided.operations[3:]] == [0, 0, 0]
    assert [await _lots(ledger, member) for member in members] == before
    assert await ledger.available(home) == 0


async def test_each_gets_what_is_left_of_their_own_and_a_part_of_the_common(ledger, homes, home):
    """A spending takes what expires first; what the household earned is divided by weights."""
    anna, boris = ledger.member(), ledger.member()
    now = ledger.now()
    soon, later = (timestamps.show(now + timedelta(days=days)) for days in (5, 9))
    await ledger.earn(anna, 50, lot_expire_time=soon)
    await ledger.earn(boris, 50, lot_expire_time=later)
    await homes.PoolPoints(_pool(ledger, home, anna, boris))
    await ledger.earn(home, 31)
    spent = await ledger.spend(home, 60)
    await ledger.post(undo(spent, 5))
    shares = await _shares(homes, home)
    by_owner = {share.owner.owner_id: share for share in shares.shares}
    assert by_owner[anna.owner.owner_id] == pb.HouseholdShare(owner=anna.owner, brought=50, used=50)
    assert by_owner[boris.owner.owner_id] == pb.HouseholdShare(
        owner=boris.owner, brought=50, used=5, left=45
    )
    assert shares.common == pb.HouseholdShare(brought=31, left=31)
    divided = (await homes.SplitPoints(_split(ledger, home, [(anna, 2), (boris, 1)]))).result
    assert [one.amount for one in divided.operations] == [0, 45, 20, 11]
    assert [await ledger.available(key) for key in (home, anna, boris)] == [0, 20, 56]
    shares = await _shares(homes, home)
    assert [(share.given_back, share.left) for share in shares.shares].count((45, 0)) == 1
    assert shares.common == pb.HouseholdShare(brought=31, given_back=31)


async def test_one_member_leaves_and_the_others_stay(ledger, homes, home):
    anna, boris = ledger.member(), ledger.member()
    await ledger.earn(anna, 10)
    await ledger.earn(boris, 20)
    await homes.PoolPoints(_pool(ledger, home, anna, boris))
    await ledger.earn(home, 5)
    await homes.SplitPoints(_split(ledger, home, [(anna, 0)]))
    assert [await ledger.available(key) for key in (home, anna, boris)] == [25, 10, 0]


async def test_a_repetition_answers_the_first_outcome(ledger, homes, home):
    """Whatever has come since; the id with another body is refused."""
    anna, boris = ledger.member(), ledger.member()
    await ledger.earn(anna, 10)
    request = _pool(ledger, home, anna)
    first = (await homes.PoolPoints(request)).result
    await ledger.earn(anna, 5)
    again = (await homes.PoolPoints(request)).result
    assert (again.operations, again.replayed) == (first.operations, True)
    assert await ledger.available(home) == 10
    other = _pool(ledger, home, boris, batch_id=request.batch_id)
    refused = (await homes.PoolPoints(other)).result
    assert refused.refusal.metadata["field"] == "operations[0].handover.debit.owner_id"


@pytest.mark.parametrize(
    ("asset", "reason"), [("coins", "LOTS_NOT_KEPT"), ("nothing", "ASSET_NOT_FOUND")]
)
async def test_a_refusal_is_a_result(ledger, homes, asset, reason):
    anna = ledger.member(asset)
    home = account(ids.new("hou"), asset, HOUSEHOLD)
    for refused in (
        (await homes.PoolPoints(_pool(ledger, home, anna))).result,
        (await homes.SplitPoints(_split(ledger, home, [(anna, 1)]))).result,
    ):
        assert refused.state == batch_pb2.BATCH_STATE_REFUSED
        assert refused.refusal.message
        name = error_reason_pb2.ErrorReason.Name(refused.refusal.reason)
        assert name == f"ERROR_REASON_{reason}"


async def test_shares_of_an_unknown_asset_and_members_named_twice_are_refused(ledger, homes, home):
    anna = ledger.member()
    request = pb.GetHouseholdSharesRequest(household_id="hou_1", asset_code="nothing")
    for call, reason in (
        (homes.GetHouseholdShares(request), "ASSET_NOT_FOUND"),
        (homes.SplitPoints(_split(ledger, home, [(anna, 1), (anna, 1)])), "INVALID_REQUEST"),
        (homes.PoolPoints(_pool(ledger, home, anna, anna)), "INVALID_REQUEST"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert status.read(caught.value).reason == reason


async def test_what_a_refund_renews_is_not_brought_again(ledger, homes, turned):
    """It is less used, and given back to who brought it."""
    days = asset_pb2.RollingExpiry(days=10, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
    policy = asset_pb2.LotPolicy(rolling=days, refund_grace_days=5, time_zone="UTC")
    await ledger.asset("mild", lot_policy=policy)
    home, anna = account(ids.new("hou"), "mild", HOUSEHOLD), ledger.member("mild")
    await ledger.earn(anna, 50)
    await homes.PoolPoints(_pool(ledger, home, anna))
    spent = await ledger.spend(home, 30)
    turned(days=20)
    await ledger.post(undo(spent, 12))
    (share,) = (await _shares(homes, home)).shares
    assert (share.brought, share.used, share.left) == (50, 38, 12)
    await homes.SplitPoints(_split(ledger, home, [(anna, 1)]))
    (share,) = (await _shares(homes, home)).shares
    assert (share.brought, share.used, share.given_back, share.left) == (50, 38, 12, 0)
    assert await ledger.available(anna) == 12


async def test_a_household_without_points_has_no_shares(homes, home):
    shares = await _shares(homes, home)
    assert not shares.shares
    assert not shares.HasField("common")
