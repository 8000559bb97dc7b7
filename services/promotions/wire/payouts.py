"""What programs give and take back, as batches of the ledger."""

from datetime import datetime

from tessera.ledger.v1 import account_pb2, batch_pb2

from services.chassis import ids, timestamps
from services.promotions.engine import programs
from services.promotions.wire import accounts, batches
from services.promotions.wire.batches import Terms


def build_reward(
    reward: programs.Reward,
    *,
    member_id: str,
    program_id: str,
    cause: tuple[str, ...],
    now: datetime,
    terms: Terms,
) -> batch_pb2.Batch:
    """Return what gives a member a reward; the batch id follows from program, member and cause."""
    if reward.points:
        held, amount = accounts.points(member_id, terms.points_asset), reward.points
    else:
        held, amount = accounts.coupons(member_id, reward.campaign_id), reward.uses
    transfer = batch_pb2.Transfer(
        asset_code=held.asset_code,
        debit=accounts.world(accounts.ISSUANCE),
        credit=accounts.owner(held),
        amount=amount,
        reason=account_pb2.TRANSFER_REASON_EARN,
        campaign_id=reward.campaign_id or program_id,
    )
    if reward.expire_days:
        expire_time = batches.day_end(now, reward.expire_days, terms.zone)
        transfer.lot_expire_time.CopyFrom(timestamps.show(expire_time))
    return batch_pb2.Batch(
        batch_id=ids.derive("bat", "reward", program_id, member_id, *cause),
        operations=[batch_pb2.Operation(transfer=transfer)],
        occurred_time=timestamps.show(now),
    )


def build_taking_back(
    reward: programs.Reward,
    *,
    member_id: str,
    program_id: str,
    cause: tuple[str, ...],
    now: datetime,
    terms: Terms,
) -> batch_pb2.Batch:
    """Return what takes back what `build_reward` gave for the same cause.

    What is no longer there is forgiven; points are owed where the terms say so.
    """
    given = ids.derive("bat", "reward", program_id, member_id, *cause)
    reversal = batch_pb2.Reversal(
        batch_id=given,
        operation_index=0,
        amount=reward.points or reward.uses,
        shortfall=(
            batch_pb2.SHORTFALL_DEBT
            if terms.owes and reward.points
            else batch_pb2.SHORTFALL_TAKE_AVAILABLE
        ),
    )
    return batch_pb2.Batch(
        batch_id=ids.derive("bat", "taken", program_id, member_id, *cause),
        operations=[batch_pb2.Operation(reversal=reversal)],
        occurred_time=timestamps.show(now),
    )
