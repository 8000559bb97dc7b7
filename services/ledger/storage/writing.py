"""The one statement that writes a group of batches."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.ledger import engine
from services.ledger.storage import literals
from services.ledger.storage.literals import (
    BLOBS,
    FLAGS,
    INSTANTS,
    LARGE_NUMBERS,
    NUMBERS,
    SMALL_NUMBERS,
    TEXTS,
    UUIDS,
    Part,
)

# What a posting writes, in one statement: one round trip and one commit. PostgreSQL runs the parts
# from the last to the first. Existing accounts come before everything else, in the order of their
# ids, and so two processes wait for each other in one direction.
_REVERSED = Part(
    "reversed",
    {
        "batch_id": UUIDS,
        "operation_index": SMALL_NUMBERS,
        "number": NUMBERS,
        "reversing_batch_id": UUIDS,
        "reversing_operation_index": SMALL_NUMBERS,
        "amount": NUMBERS,
        "reversed_amount": NUMBERS,
        "transfer_amount": NUMBERS,
    },
    "INSERT INTO reversals ({columns}) SELECT {columns} FROM {rows}",
)
_TAKEN = Part(
    "taken",
    {
        "batch_id": UUIDS,
        "operation_index": SMALL_NUMBERS,
        "position": SMALL_NUMBERS,
        "account_id": UUIDS,
        "lot_id": UUIDS,
        "amount": NUMBERS,
    },
    "INSERT INTO lot_takes ({columns}) SELECT {columns} FROM {rows}",
)
_CHANGED = Part(
    "changed",
    {
        "account_id": UUIDS,
        "expire_before": INSTANTS,
        "lot_id": UUIDS,
        "remaining": NUMBERS,
        "held": NUMBERS,
        "activate": INSTANTS,
        "expire": INSTANTS,
    },
    """
    UPDATE lots
    SET remaining = changed.remaining,
        held = changed.held,
        activate_time = instant(changed.activate),
        expire_time = COALESCE(instant(changed.expire), 'infinity')
    FROM {rows}
    WHERE lots.account_id = changed.account_id
        AND lots.expire_time = COALESCE(instant(changed.expire_before), 'infinity')
        AND lots.lot_id = changed.lot_id
    """,
)
# Two changes at one instant: what was before the first of them is what was.
_RETERMED = Part(
    "retermed",
    {"account_id": UUIDS, "lot_id": UUIDS, "activate": INSTANTS, "expire": INSTANTS},
    """
    INSERT INTO lot_terms (account_id, lot_id, until_time, activate_time, expire_time)
    SELECT account_id, lot_id, $1::TIMESTAMPTZ, instant(activate),
        COALESCE(instant(expire), 'infinity')
    FROM {rows}
    ON CONFLICT (account_id, lot_id, until_time) DO NOTHING
    """,
)
_MADE = Part(
    "made",
    {
        "lot_id": UUIDS,
        "account_id": UUIDS,
        "batch_id": UUIDS,
        "operation_index": SMALL_NUMBERS,
        "amount": NUMBERS,
        "remaining": NUMBERS,
        "held": NUMBERS,
        "activate": INSTANTS,
        "expire": INSTANTS,
        "expiry_given": FLAGS,
        "issuer_account_id": UUIDS,
        "bringer_account_id": UUIDS,
    },
    """
    INSERT INTO lots (
        lot_id, account_id, batch_id, operation_index, amount, remaining, held, activate_time,
        expire_time, expiry_given, create_time, issuer_account_id, bringer_account_id
    )
    SELECT lot_id, account_id, batch_id, operation_index, amount, remaining, held,
        instant(activate), COALESCE(instant(expire), 'infinity'), expiry_given, $1::TIMESTAMPTZ,
        issuer_account_id, bringer_account_id
    FROM {rows}
    """,
)
_TOLD = Part(
    "told",
    {"event_id": UUIDS, "payload": BLOBS},
    "INSERT INTO outbox_events ({columns}) SELECT {columns} FROM {rows}",
)
_TALLIED = Part(
    "tallied",
    {"account_id": UUIDS, "amount": LARGE_NUMBERS},
    "INSERT INTO tallies ({columns}) SELECT {columns} FROM {rows}",
)
_ENTERED = Part(
    "entered",
    {
        "account_id": UUIDS,
        "version": NUMBERS,
        "batch_id": UUIDS,
        "operation_index": SMALL_NUMBERS,
        "amount": NUMBERS,
        "balance_before": NUMBERS,
        "balance_after": NUMBERS,
    },
    """
    INSERT INTO entries ({columns}, record_time)
    SELECT {columns}, $1::TIMESTAMPTZ FROM {rows}
    """,
)
_TRANSFERRED = Part(
    "transferred",
    {
        "batch_id": UUIDS,
        "operation_index": SMALL_NUMBERS,
        "debit_account_id": UUIDS,
        "credit_account_id": UUIDS,
        "amount": NUMBERS,
        "reason": SMALL_NUMBERS,
        "campaign_id": TEXTS,
        "occurred": INSTANTS,
    },
    """
    INSERT INTO transfers (
        batch_id, operation_index, debit_account_id, credit_account_id, amount, reason,
        campaign_id, occurred_time, record_time
    )
    SELECT batch_id, operation_index, debit_account_id, credit_account_id, amount, reason,
        campaign_id, instant(occurred), $1::TIMESTAMPTZ
    FROM {rows}
    """,
)
_ANSWERED = Part(
    "answered",
    {
        "batch_id": UUIDS,
        "request": BLOBS,
        "answer": BLOBS,
        "refused": FLAGS,
        "operation_count": SMALL_NUMBERS,
        "receipt_id": TEXTS,
        "operator_id": TEXTS,
        "occurred": INSTANTS,
    },
    """
    INSERT INTO batches (
        batch_id, request, answer, refused, operation_count, receipt_id, operator_id,
        occurred_time, record_time
    )
    SELECT batch_id, request, answer, refused, operation_count, receipt_id, operator_id,
        instant(occurred), $1::TIMESTAMPTZ
    FROM {rows}
    ORDER BY batch_id
    """,
)
_SUMS = {
    "pending": NUMBERS,
    "next_event": INSTANTS,
    "next_expire": INSTANTS,
    "next_expire_amount": NUMBERS,
    "slide": INSTANTS,
    "lots_from": INSTANTS,
    "held": NUMBERS,
    "incoming": NUMBERS,
    "next_hold": INSTANTS,
    "debt": NUMBERS,
}
_OPENED = Part(
    "opened",
    {
        "account_id": UUIDS,
        "asset_code": TEXTS,
        "owner_type": SMALL_NUMBERS,
        "owner_id": TEXTS,
        "floor": NUMBERS,
        "ceiling": NUMBERS,
        "balance": NUMBERS,
        "version": NUMBERS,
        **_SUMS,
    },
    """
    INSERT INTO accounts (
        account_id, asset_code, owner_type, owner_id, floor, ceiling, balance, version, pending,
        next_event_time, next_expire_time, next_expire_amount, slide_time, lots_from_time, held,
        incoming, next_hold_time, debt
    )
    SELECT account_id, asset_code, owner_type, owner_id, floor, ceiling, balance, version, pending,
        instant(next_event), instant(next_expire), next_expire_amount, instant(slide),
        instant(lots_from), held, incoming, instant(next_hold), debt
    FROM {rows}
    """,
)
_MOVED = Part(
    "moved",
    {
        "account_id": UUIDS,
        "version_before": NUMBERS,
        "balance": NUMBERS,
        "version": NUMBERS,
        **_SUMS,
    },
    """
    UPDATE accounts
    SET balance = moved.balance,
        version = CASE
            WHEN accounts.version = moved.version_before THEN moved.version
            ELSE -1
        END,
        pending = moved.pending,
        next_event_time = instant(moved.next_event),
        next_expire_time = instant(moved.next_expire),
        next_expire_amount = moved.next_expire_amount,
        slide_time = instant(moved.slide),
        lots_from_time = instant(moved.lots_from),
        held = moved.held,
        incoming = moved.incoming,
        next_hold_time = instant(moved.next_hold),
        debt = moved.debt
    FROM {rows}
    WHERE accounts.account_id = moved.account_id
    """,
)
_HELD = Part(
    "held",
    {
        "batch_id": UUIDS,
        "operation_index": SMALL_NUMBERS,
        "debit_account_id": UUIDS,
        "credit_account_id": UUIDS,
        "amount": NUMBERS,
        "reason": SMALL_NUMBERS,
        "campaign_id": TEXTS,
        "expire": INSTANTS,
    },
    """
    INSERT INTO holds (
        batch_id, operation_index, debit_account_id, credit_account_id, amount, reason,
        campaign_id, expire_time, record_time
    )
    SELECT batch_id, operation_index, debit_account_id, credit_account_id, amount, reason,
        campaign_id, instant(expire), $1::TIMESTAMPTZ
    FROM {rows}
    """,
)
_KEPT = {
    "batch_id": UUIDS,
    "operation_index": SMALL_NUMBERS,
    "account_id": UUIDS,
    "is_credit": FLAGS,
    "remaining": NUMBERS,
    "state": SMALL_NUMBERS,
    "expire": INSTANTS,
    "ended": INSTANTS,
    "lot_ids": TEXTS,
    "lot_amounts": TEXTS,
}
_RESERVED = Part(
    "reserved",
    _KEPT,
    """
    INSERT INTO reserves (
        batch_id, operation_index, account_id, is_credit, remaining, state, expire_time, end_time,
        lot_ids, lot_amounts
    )
    SELECT batch_id, operation_index, account_id, is_credit, remaining, state, instant(expire),
        instant(ended), lot_ids::UUID[], lot_amounts::BIGINT[]
    FROM {rows}
    """,
)
_KEPT_ON = Part(
    "kept_on",
    _KEPT,
    """
    UPDATE reserves
    SET remaining = kept_on.remaining,
        state = kept_on.state,
        end_time = instant(kept_on.ended),
        lot_ids = kept_on.lot_ids::UUID[],
        lot_amounts = kept_on.lot_amounts::BIGINT[]
    FROM {rows}
    WHERE reserves.batch_id = kept_on.batch_id
        AND reserves.operation_index = kept_on.operation_index
        AND reserves.account_id = kept_on.account_id
    """,
)


class StoredBatch(NamedTuple):
    """A batch with its answer, to be kept for ever."""

    batch_id: UUID
    request: bytes
    answer: bytes
    refused: bool
    operation_count: int
    receipt_id: str
    operator_id: str
    occurred_at: datetime


def composed(
    changes: engine.Changes,
    batches: Sequence[StoredBatch],
    events: tuple[Sequence[UUID], Sequence[bytes]],
    *,
    now: datetime,
) -> tuple[str, list[Any]]:
    """Return the statement and its arguments; `events` are ids and payloads for the outbox.

    It has only the parts that have rows: an empty one costs PostgreSQL as much as one row does.
    The handful of combinations that occur are prepared once on every connection.
    """
    changed, written = changes.lots_changed, changes.accounts
    rows: dict[Part, Sequence[Sequence[Any]]] = {
        _HELD: [_held(row) for row in changes.holds],
        _RESERVED: [_reserve(one) for one in changes.reserves_made],
        _KEPT_ON: [_reserve(one) for one in changes.reserves_changed],
        _REVERSED: changes.reversals,
        _TAKEN: changes.takes,
        _CHANGED: [_changed(before, after) for before, after in changed],
        _RETERMED: [_terms(before) for before, after in changed if _differ(before, after)],
        _MADE: [_made(lot) for lot in changes.lots_made],
        _TOLD: list(zip(*events, strict=True)),
        _TALLIED: [(key.id, amount) for key, amount in changes.tallies.items()],
        _ENTERED: changes.entries,
        _TRANSFERRED: changes.transfers,
        _ANSWERED: batches,
        _OPENED: [_opened(one.after) for one in written if not one.before.version],
        _MOVED: [_moved(one.before, one.after) for one in written if one.before.version],
    }
    parts = tuple(part for part, lines in rows.items() if lines)
    arguments: list[Any] = [now]
    for part in parts:
        arguments += part.literals(rows[part])
    return f"{literals.compose(parts, first=2)}\nSELECT $1::TIMESTAMPTZ", arguments


def _held(row: engine.HoldRow) -> tuple[Any, ...]:
    return (
        *row.place,
        row.debit.id,
        row.credit.id,
        row.amount,
        row.reason,
        row.campaign_id,
        row.expires_at,
    )


def _reserve(reserve: engine.Reserve) -> tuple[Any, ...]:
    return (
        *reserve.place,
        reserve.account_id,
        reserve.is_credit,
        reserve.remaining,
        int(reserve.state),
        reserve.expires_at,
        reserve.ended_at,
        literals.uuids([part.lot_id for part in reserve.lots]),
        "{" + ",".join(str(part.amount) for part in reserve.lots) + "}",
    )


def _moved(before: engine.Account, after: engine.Account) -> tuple[Any, ...]:
    return (after.key.id, before.version, after.balance, after.version, *_sums(after))


def _opened(after: engine.Account) -> tuple[Any, ...]:
    key = after.key
    return (
        key.id,
        key.asset_code,
        key.owner_type,
        key.owner_id,
        after.floor,
        after.ceiling,
        after.balance,
        after.version,
        *_sums(after),
    )


def _sums(account: engine.Account) -> tuple[Any, ...]:
    summary = account.summary
    return (
        summary.pending,
        summary.next_event_at,
        summary.next_expire_at,
        summary.next_expire_amount,
        account.slides_until,
        summary.lots_from,
        summary.held,
        summary.incoming,
        summary.next_hold_at,
        account.debt,
    )


def _made(lot: engine.Lot) -> tuple[Any, ...]:
    return (
        lot.id,
        lot.account_id,
        lot.batch_id,
        lot.operation_index,
        lot.amount,
        lot.remaining,
        lot.held,
        lot.activates_at,
        lot.expires_at,
        lot.expiry_given,
        lot.issuer,
        lot.bringer,
    )


def _differ(before: engine.Lot, after: engine.Lot) -> bool:
    """Tell whether the times of a lot have changed, and not just what is left of it."""
    return before.activates_at != after.activates_at or before.expires_at != after.expires_at


def _terms(lot: engine.Lot) -> tuple[Any, ...]:
    return lot.account_id, lot.id, lot.activates_at, lot.expires_at


def _changed(before: engine.Lot, after: engine.Lot) -> tuple[Any, ...]:
    return (
        after.account_id,
        before.expires_at,
        after.id,
        after.remaining,
        after.held,
        after.activates_at,
        after.expires_at,
    )
