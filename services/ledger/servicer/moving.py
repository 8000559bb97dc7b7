"""Single batches that other services of the ledger post: one operation, answered or refused."""

import re
from collections.abc import Mapping, Sequence

from google.protobuf import timestamp_pb2
from tessera.ledger.v1 import account_pb2, batch_pb2, error_reason_pb2

from services.chassis import ids, telemetry
from services.ledger import engine, errors, wire
from services.ledger.committer import Committer
from services.ledger.engine import uploads

ISSUANCE, REDEMPTION = "issuance", "redemption"

_REFUSALS = {kind.reason: kind for kind in engine.PRECEDENCE}
_IN_OPERATION = re.compile(r"operations\[\d+\]\.\w+\.")


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
    names: Mapping[str, str],
) -> batch_pb2.BatchResult:
    """Post a batch and return its result; raises the refusal of a batch that is not posted.

    A batch id that was used with another body raises RequestConflict, whose field is the request's:
    `names` has it for fields of operations that are called otherwise there.
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
        refused = result.refusal
        if refused.reason == error_reason_pb2.ERROR_REASON_BATCH_CONFLICT:
            raise errors.RequestConflict(field=_asked(refused.metadata["field"], names))
        raise _refusal(refused)
    return result


async def take_back(
    committer: Committer,
    name: tuple[str, ...],
    operations: Sequence[batch_pb2.Operation],
    *,
    occurred_time: timestamp_pb2.Timestamp,
) -> list[batch_pb2.OperationResult]:
    """Take what accounts have, each for itself, and return what that was.

    Raises the first refusal, of an account that is frozen for example. A refusal keeps its id for
    ever, so who calls again once it was put right takes the next; what was taken stays taken.
    """
    attempt = 0
    while True:
        following = (*name, f"again {attempt}") if attempt else name
        results = await _post_each(committer, following, operations, occurred_time=occurred_time)
        refusal = _first_refusal(results)
        if refusal is None:
            return [one for result in results for one in result.operations]
        if not all(result.replayed for result in results):
            raise refusal
        attempt += 1


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
    results = await _post_each(committer, name, operations, occurred_time=occurred_time)
    refusal = _first_refusal(results)
    if refusal is not None:
        raise refusal


async def _post_each(
    committer: Committer,
    name: tuple[str, ...],
    operations: Sequence[batch_pb2.Operation],
    *,
    occurred_time: timestamp_pb2.Timestamp,
) -> list[batch_pb2.BatchResult]:
    orders = []
    for start in range(0, len(operations), uploads.ROWS_PER_BATCH):
        batch = batch_pb2.Batch(
            batch_id=ids.derive(*name, str(start)),
            operations=operations[start : start + uploads.ROWS_PER_BATCH],
            occurred_time=occurred_time,
            independent=True,
        )
        orders.append(wire.order(batch))
    return await committer.post(orders) if orders else []


def _first_refusal(
    results: Sequence[batch_pb2.BatchResult],
) -> errors.LedgerRefusal | None:
    for result in results:
        if result.HasField("refusal"):
            return _refusal(result.refusal)
        for operation in result.operations:
            if operation.HasField("refusal"):
                return _refusal(operation.refusal)
    return None


def _asked(path: str, names: Mapping[str, str]) -> str:
    """Return a field of a batch as the request calls it that the batch was made of."""
    field = _IN_OPERATION.sub("", path)
    return names.get(field) or field.split(".", maxsplit=1)[0]


def _refusal(refused: batch_pb2.BatchRefusal) -> errors.LedgerRefusal:
    name = error_reason_pb2.ErrorReason.Name(refused.reason).removeprefix("ERROR_REASON_")
    return _REFUSALS[name](**refused.metadata)
