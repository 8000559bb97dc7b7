"""Single batches that other services of the ledger post: one operation, answered or refused."""

from collections.abc import Sequence

from google.protobuf import timestamp_pb2
from tessera.ledger.v1 import account_pb2, batch_pb2, error_reason_pb2

from services.chassis import ids, telemetry
from services.ledger import engine, errors, wire
from services.ledger.committer import Committer
from services.ledger.engine import uploads

ISSUANCE, REDEMPTION = "issuance", "redemption"

_REFUSALS = {kind.reason: kind for kind in engine.PRECEDENCE}


def world(purpose: str) -> account_pb2.Owner:
    """Return the outside of the ledger, by purpose."""
    return account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id=purpose)


def card(owner_id: str) -> account_pb2.Owner:
    """Return the owner behind a code."""
    return account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_CARD, owner_id=owner_id)


async def post(
    committer: Committer,
    batch_id: str,
    operations: Sequence[batch_pb2.Operation],
    *,
    occurred_time: timestamp_pb2.Timestamp,
    receipt_id: str = "",
) -> batch_pb2.BatchResult:
    """Post a batch and return its result; raises the refusal of a batch that is not posted.

    A batch id that was used with another body raises RequestConflict.
    """
    batch = batch_pb2.Batch(
        batch_id=batch_id,
        operations=operations,
        occurred_time=occurred_time,
        receipt_id=receipt_id,
    )
    order = wire.order(batch, trace_parent=telemetry.trace_parent())
    (result,) = await committer.post([order])
    if result.state == batch_pb2.BATCH_STATE_REFUSED:
        raise _refusal(result.refusal)
    return result


async def post_each(
    committer: Committer,
    name: tuple[str, ...],
    operations: Sequence[batch_pb2.Operation],
    *,
    occurred_time: timestamp_pb2.Timestamp,
) -> None:
    """Post operations that stand each for itself, in batches whose ids follow from `name`.

    Raises the first refusal of an operation; the others took effect.
    """
    orders = []
    for start in range(0, len(operations), uploads.ROWS_PER_BATCH):
        batch = batch_pb2.Batch(
            batch_id=ids.derive(*name, str(start)),
            operations=operations[start : start + uploads.ROWS_PER_BATCH],
            occurred_time=occurred_time,
            independent=True,
        )
        orders.append(wire.order(batch))
    for result in await committer.post(orders) if orders else ():
        if result.state == batch_pb2.BATCH_STATE_REFUSED:
            raise _refusal(result.refusal)
        for operation in result.operations:
            if operation.HasField("refusal"):
                raise _refusal(operation.refusal)


def _refusal(refused: batch_pb2.BatchRefusal) -> errors.LedgerRefusal:
    name = error_reason_pb2.ErrorReason.Name(refused.reason).removeprefix("ERROR_REASON_")
    kind = _REFUSALS[name]
    if kind is errors.BatchConflict:
        return errors.RequestConflict(field=refused.metadata["field"])
    return kind(**refused.metadata)
