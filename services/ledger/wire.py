"""Between the contract's messages and the engine's nouns."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from tessera.event.v1 import event_pb2, ledger_events_pb2
from tessera.ledger.v1 import account_pb2, asset_pb2, batch_pb2, error_reason_pb2, hold_pb2

from services.chassis import differences, ids, outbox, timestamps
from services.ledger import engine, errors
from services.ledger.storage import Act, EntryLine, HoldLine

BATCH = "bat"
LOT = "lot"
_OWNERS: dict[int, str] = {
    number: name.removeprefix("OWNER_TYPE_").lower()
    for name, number in account_pb2.OwnerType.items()
}
_REASONS: dict[int, str] = {
    number: name.removeprefix("TRANSFER_REASON_")
    for name, number in account_pb2.TransferReason.items()
}


class Order(NamedTuple):
    """A batch as the engine takes it and as it was sent, in bytes that repetitions share."""

    batch: engine.Batch
    request: bytes
    trace_parent: str = ""


# What comes in


def order(sent: batch_pb2.Batch, *, trace_parent: str = "") -> Order:
    """Return what a caller asks for."""
    batch = engine.Batch(
        ids.parse(BATCH, sent.batch_id),
        tuple(map(_operation, sent.operations)),
        sent.receipt_id,
        sent.operator_id,
        timestamps.read(sent.occurred_time),
        sent.independent,
    )
    return Order(batch, sent.SerializeToString(deterministic=True), trace_parent)


def _operation(sent: batch_pb2.Operation) -> engine.Operation:
    kind = sent.WhichOneof("kind")
    assert kind is not None
    return _KINDS[kind](getattr(sent, kind))


def _transfer(sent: batch_pb2.Transfer) -> engine.Transfer:
    asset_code, debit, credit = sent.asset_code, sent.debit, sent.credit
    return engine.Transfer(
        engine.key(asset_code, debit.owner_type, debit.owner_id),
        engine.key(asset_code, credit.owner_type, credit.owner_id),
        sent.amount,
        sent.reason,
        sent.campaign_id,
        sent.up_to,
        timestamps.read(sent.lot_activate_time) if sent.HasField("lot_activate_time") else None,
        timestamps.read(sent.lot_expire_time) if sent.HasField("lot_expire_time") else None,
    )


def _handover(sent: batch_pb2.Handover) -> engine.Handover:
    debit, credit = sent.debit, sent.credit
    return engine.Handover(
        engine.key(sent.asset_code, debit.owner_type, debit.owner_id),
        engine.key(sent.asset_code, credit.owner_type, credit.owner_id),
        sent.reason,
        engine.Selection(sent.selection),
        sent.share or 1,
        sent.whole or 1,
    )


def _reversal(sent: batch_pb2.Reversal) -> engine.Reversal:
    return engine.Reversal(_place(sent), sent.amount, engine.Shortfall(sent.shortfall))


def _release(sent: batch_pb2.Release) -> engine.Release:
    return engine.Release(_place(sent))


def _hold(sent: batch_pb2.PlaceHold) -> engine.Hold:
    asset_code, debit, credit = sent.asset_code, sent.debit, sent.credit
    return engine.Hold(
        engine.key(asset_code, debit.owner_type, debit.owner_id),
        engine.key(asset_code, credit.owner_type, credit.owner_id),
        sent.amount,
        sent.reason,
        sent.campaign_id,
        sent.up_to,
        sent.time_to_live.ToTimedelta(),
    )


def _capture(sent: batch_pb2.CaptureHold) -> engine.Capture:
    amount = sent.amount if sent.HasField("amount") else None
    return engine.Capture(_place(sent), amount, sent.final)


def _void(sent: batch_pb2.VoidHold) -> engine.Void:
    return engine.Void(_place(sent))


def _place(
    sent: batch_pb2.Reversal | batch_pb2.Release | batch_pb2.CaptureHold | batch_pb2.VoidHold,
) -> engine.Place:
    return engine.Place(ids.parse(BATCH, sent.batch_id), sent.operation_index)


_KINDS: dict[str, Callable[[Any], engine.Operation]] = {
    "transfer": _transfer,
    "reversal": _reversal,
    "release": _release,
    "handover": _handover,
    "place_hold": _hold,
    "capture_hold": _capture,
    "void_hold": _void,
}


def key(sent: account_pb2.AccountKey) -> engine.Key:
    """Return the account that a caller names."""
    return engine.key(sent.asset_code, sent.owner.owner_type, sent.owner.owner_id)


def asset(sent: asset_pb2.Asset, *, now: datetime) -> engine.Asset:
    """Return the asset that a caller wants to make now."""
    lots = _policy(sent.lot_policy) if sent.HasField("lot_policy") else None
    ceiling = sent.ceiling or None
    return engine.Asset(
        sent.asset_code,
        sent.scale,
        sent.floor,
        ceiling,
        lots,
        now,
        sent.accounts_opened_explicitly,
    )


def _policy(sent: asset_pb2.LotPolicy) -> engine.LotPolicy:
    pending_days = None if sent.pending_until_release else sent.pending_days
    return engine.LotPolicy(pending_days, _expiry(sent), sent.time_zone, sent.refund_grace_days)


def _expiry(
    sent: asset_pb2.LotPolicy,
) -> engine.Rolling | engine.Calendar | engine.Sliding | None:
    kind = sent.WhichOneof("expiry")
    if kind == "rolling":
        rolling = sent.rolling
        return engine.Rolling(rolling.months, rolling.days, engine.Rounding(rolling.rounding))
    if kind == "calendar":
        days = tuple((day.month, day.day) for day in sent.calendar.days)
        return engine.Calendar(days, sent.calendar.minimum_days)
    return engine.Sliding(sent.sliding.days) if kind == "sliding" else None


# What goes out


def result(decision: engine.Decision, *, now: datetime) -> batch_pb2.BatchResult:
    """Return the answer to a batch that was just decided."""
    batch_id = ids.show(BATCH, decision.batch.id)
    if isinstance(decision, engine.Refused):
        return _refused(batch_id, decision.refusal, decision.operation_index, now)
    # Filled field by field, here and below: messages inside of messages cost three times as much
    # when they are made on their own and copied in.
    answer = batch_pb2.BatchResult()
    answer.batch_id = batch_id
    answer.state = batch_pb2.BATCH_STATE_POSTED
    timestamps.write(answer.record_time, now)
    for index, operation in enumerate(decision.operations):
        moved = answer.operations.add()
        moved.amount = operation.amount
        if operation.expires_at is not None:
            timestamps.write(moved.expire_time, operation.expires_at)
        if operation.refusal is not None:
            moved.refusal.CopyFrom(_refusal(operation.refusal, index))
        if operation.owed:
            moved.owed = operation.owed
        if operation.paid_off:
            moved.paid_off = operation.paid_off
        for part in operation.taken:
            taken = moved.taken.add()
            taken.lot_id = ids.show(LOT, part.lot_id)
            taken.amount = part.amount
    for one in decision.balances:
        fill_balance(answer.balances.add(), one)
    return answer


def conflict(batch_id: str, *, field: str, now: datetime) -> batch_pb2.BatchResult:
    """Return the answer to a batch whose id belongs to another one."""
    return _refused(batch_id, errors.BatchConflict(field=field), -1, now)


def _refused(
    batch_id: str, refusal: errors.LedgerRefusal, operation_index: int, now: datetime
) -> batch_pb2.BatchResult:
    return batch_pb2.BatchResult(
        batch_id=batch_id,
        state=batch_pb2.BATCH_STATE_REFUSED,
        record_time=timestamps.show(now),
        refusal=_refusal(refusal, operation_index),
    )


def _refusal(refusal: errors.LedgerRefusal, operation_index: int) -> batch_pb2.BatchRefusal:
    return batch_pb2.BatchRefusal(
        reason=error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{refusal.reason}"),
        operation_index=operation_index,
        message=refusal.message,
        metadata=refusal.metadata,
    )


def replay(answer: bytes) -> batch_pb2.BatchResult:
    """Return a stored answer, marked as such."""
    stored = batch_pb2.BatchResult.FromString(answer)
    stored.replayed = True
    return stored


def first_difference(stored: bytes, sent: bytes) -> str | None:
    """Return the path of the first field that two batches differ in, None when they are the same.

    The same batch may have other bytes when the library that wrote them has changed since.
    """
    if stored == sent:
        return None
    batches = batch_pb2.Batch.FromString(stored), batch_pb2.Batch.FromString(sent)
    return differences.find_difference(*batches) or None


def balance(one: engine.Balance) -> account_pb2.Balance:
    """Return what an account holds."""
    shown = account_pb2.Balance()
    fill_balance(shown, one)
    return shown


def fill_balance(target: account_pb2.Balance, one: engine.Balance) -> None:
    """Make a message say what an account holds."""
    account = target.account
    account.asset_code = one.key.asset_code
    account.owner.owner_type = account_pb2.OwnerType.ValueType(one.key.owner_type)
    account.owner.owner_id = one.key.owner_id
    target.available = one.available
    target.pending = one.pending
    target.held = one.held
    target.incoming = one.incoming
    if one.debt:
        target.debt = one.debt
    target.version = one.version
    if one.next_expire_at is not None:
        timestamps.write(target.next_expire_time, one.next_expire_at)
        target.next_expire_amount = one.next_expire_amount
    timestamps.write(target.as_of_time, one.as_of)


def account(one: engine.Account) -> account_pb2.Account:
    """Return what an account lets happen."""
    return account_pb2.Account(
        account=show_key(one.key),
        state=account_pb2.AccountState.ValueType(one.state),
        floor=one.floor,
        ceiling=one.ceiling,
        version=one.version,
    )


def show_batch(place: engine.Place) -> str:
    """Return the batch of an operation; empty for what the ledger books itself."""
    by_ledger = place.operation_index == engine.BY_LEDGER
    return "" if by_ledger else ids.show(BATCH, place.batch_id)


def act(one: Act) -> account_pb2.AccountAct:
    """Return what somebody did to an account."""
    return account_pb2.AccountAct(
        action=account_pb2.AccountAction.ValueType(one.action),
        operator_id=one.operator_id,
        note=one.note,
        record_time=timestamps.show(one.recorded_at),
        version=one.number,
    )


def entry(line: EntryLine, account: engine.Key) -> account_pb2.Entry:
    """Return a line of a statement."""
    return account_pb2.Entry(
        account=show_key(account),
        batch_id=show_batch(engine.Place(line.batch_id, line.operation_index)),
        operation_index=line.operation_index,
        amount=line.amount,
        balance_before=line.balance_before,
        balance_after=line.balance_after,
        version=line.version,
        reason=account_pb2.TransferReason.ValueType(line.reason),
        receipt_id=line.receipt_id,
        campaign_id=line.campaign_id,
        counterparty=account_pb2.Owner(
            owner_type=account_pb2.OwnerType.ValueType(line.counterparty_type),
            owner_id=line.counterparty_id,
        ),
        occurred_time=timestamps.show(line.occurred_at),
        record_time=timestamps.show(line.recorded_at),
    )


def lot(one: engine.Lot, account: engine.Key, *, expires_at: datetime | None) -> account_pb2.Lot:
    """Return a lot with the expiry that counts."""
    return account_pb2.Lot(
        lot_id=ids.show(LOT, one.id),
        account=show_key(account),
        batch_id=show_batch(engine.Place(one.batch_id, one.operation_index)),
        operation_index=one.operation_index,
        amount=one.amount,
        remaining=one.remaining,
        held=one.held,
        activate_time=timestamps.show(one.activates_at),
        expire_time=timestamps.show(expires_at),
        create_time=timestamps.show(one.created_at),
    )


def hold(line: HoldLine) -> hold_pb2.Hold:
    """Return a hold."""
    shown = hold_pb2.Hold(
        batch_id=ids.show(BATCH, line.place.batch_id),
        operation_index=line.place.operation_index,
        asset_code=line.debit.asset_code,
        debit=show_key(line.debit).owner,
        credit=show_key(line.credit).owner,
        amount=line.amount,
        captured=line.captured,
        state=hold_pb2.HoldState.ValueType(line.state),
        reason=account_pb2.TransferReason.ValueType(line.reason),
        campaign_id=line.campaign_id,
        expire_time=timestamps.show(line.expires_at),
        create_time=timestamps.show(line.recorded_at),
        end_time=timestamps.show(line.ended_at),
    )
    for part in line.lots:
        shown.lots.add(lot_id=ids.show(LOT, part.lot_id), amount=part.amount)
    return shown


def show_asset(one: engine.Asset) -> asset_pb2.Asset:
    """Return an asset."""
    shown = asset_pb2.Asset(
        asset_code=one.code,
        scale=one.scale,
        floor=one.floor,
        ceiling=one.ceiling or 0,
        create_time=timestamps.show(one.created_at),
        accounts_opened_explicitly=one.opened_explicitly,
    )
    if one.lots is not None:
        _fill_policy(shown.lot_policy, one.lots)
    return shown


def _fill_policy(target: asset_pb2.LotPolicy, policy: engine.LotPolicy) -> None:
    target.time_zone = policy.time_zone
    target.refund_grace_days = policy.refund_grace_days
    if policy.pending_days is None:
        target.pending_until_release = True
    else:
        target.pending_days = policy.pending_days
    match policy.expiry:
        case engine.Rolling(months, days, rounding):
            target.rolling.months, target.rolling.days = months, days
            target.rolling.rounding = asset_pb2.ExpiryRounding.ValueType(rounding)
        case engine.Calendar(days, minimum_days):
            for month, day in days:
                target.calendar.days.add(month=month, day=day)
            target.calendar.minimum_days = minimum_days
        case engine.Sliding(days):
            target.sliding.days = days


# What is told to others


def posted(order: Order, decision: engine.Posted) -> event_pb2.Event:
    """Return the event of a posted batch."""
    batch = decision.batch
    subject = batch.receipt_id or next(
        (balance.key.owner_id for balance in decision.balances), ids.show(BATCH, batch.id)
    )
    event = event_pb2.Event()
    event.event_id = ids.show(outbox.PREFIX, batch.id)  # one event a batch, so its id serves twice
    event.source = "ledger"
    event.subject_id = subject
    timestamps.write(event.occurred_time, batch.occurred_at)
    event.trace_parent = order.trace_parent
    told = event.batch_posted
    told.batch_id = ids.show(BATCH, batch.id)
    told.receipt_id = batch.receipt_id
    for movement in decision.movements:
        moved = told.movements.add()
        moved.asset_code = movement.debit.asset_code
        moved.debit_owner = _owner(movement.debit)
        moved.credit_owner = _owner(movement.credit)
        moved.amount = movement.amount
        moved.reason = _REASONS[movement.reason]
        moved.campaign_id = movement.campaign_id
    return event


def expired(row: engine.ExpiryRow) -> event_pb2.Event:
    """Return the event of value that passed its expiry."""
    return event_pb2.Event(
        source="ledger",
        subject_id=row.key.owner_id,
        occurred_time=timestamps.show(row.expired_at),
        lots_expired=ledger_events_pb2.LotsExpired(
            owner=_owner(row.key),
            asset_code=row.key.asset_code,
            amount=row.amount,
            expire_time=timestamps.show(row.expired_at),
        ),
    )


def _owner(one: engine.Key) -> str:
    return f"{_OWNERS[one.owner_type]}:{one.owner_id}"


def show_key(one: engine.Key) -> account_pb2.AccountKey:
    """Return the name of an account."""
    owner_type = account_pb2.OwnerType.ValueType(one.owner_type)
    return account_pb2.AccountKey(
        owner=account_pb2.Owner(owner_type=owner_type, owner_id=one.owner_id),
        asset_code=one.asset_code,
    )
