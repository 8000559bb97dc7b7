"""Evidence as the integrity chain sees it: which rows of which tables, and how they are hashed.

The digest of a row is SHA-256 over the table's name, the number of the format and a zero byte, then
every column in the order given here: UUIDs as their 16 bytes, numbers as 8 bytes (two's complement,
big-endian), times as 8 bytes of microseconds since 2000-01-01 UTC, flags as one byte, texts (UTF-8)
and bytes behind their length in 4 bytes. What may be absent comes behind a byte 1, or is a single
byte 0. The database computes it, where the rows are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.ledger.engine.journal import Kind

_ENCODERS = {
    "uuid": "uuid_send({0})",
    "uuid or none": "COALESCE('\\x01'::BYTEA || uuid_send({0}), '\\x00'::BYTEA)",
    "number": "int8send({0}::BIGINT)",
    "time": "timestamptz_send({0})",
    "time or none": "COALESCE('\\x01'::BYTEA || timestamptz_send({0}), '\\x00'::BYTEA)",
    "flag": "CASE WHEN {0} THEN '\\x01'::BYTEA ELSE '\\x00'::BYTEA END",
    "text": "int4send(octet_length({0})) || convert_to({0}, 'UTF8')",
    "bytes": "int4send(octet_length({0})) || {0}",
}


@dataclass(frozen=True, slots=True)
class Table:
    """How rows of a table are hashed; `unit` is what they belong to, `key` names a row."""

    name: str
    columns: Mapping[str, str]
    unit: str
    key: str

    @property
    def digest(self) -> str:
        """The digest of a row, in SQL."""
        encoded = (_ENCODERS[kind].format(name) for name, kind in self.columns.items())
        return f"sha256('{self.name}.1'::BYTEA || '\\x00'::BYTEA || {' || '.join(encoded)})"


#: What has no id of its own belongs to its asset: half of the SHA-256 of the asset's code.
_ASSET = "encode(substring(sha256(convert_to(asset_code, 'UTF8')) FOR 16), 'hex')::UUID"
_PLACE = {"batch_id": "uuid", "operation_index": "number"}
TABLES = {
    Kind.BATCHES: Table(
        "batches",
        {
            "batch_id": "uuid",
            "request": "bytes",
            "answer": "bytes",
            "refused": "flag",
            "operation_count": "number",
            "receipt_id": "text",
            "operator_id": "text",
            "occurred_time": "time",
            "record_time": "time",
        },
        "batch_id",
        "'the batch itself'",
    ),
    Kind.TRANSFERS: Table(
        "transfers",
        {
            **_PLACE,
            "debit_account_id": "uuid",
            "credit_account_id": "uuid",
            "amount": "number",
            "reason": "number",
            "campaign_id": "text",
            "occurred_time": "time",
            "record_time": "time",
        },
        "batch_id",
        "format('operation %s', operation_index)",
    ),
    Kind.ENTRIES: Table(
        "entries",
        {
            "account_id": "uuid",
            "version": "number",
            **_PLACE,
            "amount": "number",
            "balance_before": "number",
            "balance_after": "number",
            "record_time": "time",
        },
        "batch_id",
        "format('account %s version %s', account_id, version)",
    ),
    # What is left of a lot and when it ends may change; where it came from may not.
    Kind.LOTS: Table(
        "lots",
        {
            "account_id": "uuid",
            "lot_id": "uuid",
            **_PLACE,
            "amount": "number",
            "expiry_given": "flag",
            "create_time": "time",
            "issuer_account_id": "uuid or none",
            "bringer_account_id": "uuid or none",
        },
        "batch_id",
        "format('lot %s', lot_id)",
    ),
    Kind.LOT_TAKES: Table(
        "lot_takes",
        {
            **_PLACE,
            "position": "number",
            "account_id": "uuid",
            "lot_id": "uuid",
            "amount": "number",
        },
        "batch_id",
        "format('operation %s position %s', operation_index, position)",
    ),
    Kind.REVERSALS: Table(
        "reversals",
        {
            **_PLACE,
            "number": "number",
            "reversing_batch_id": "uuid",
            "reversing_operation_index": "number",
            "amount": "number",
            "reversed_amount": "number",
            "transfer_amount": "number",
        },
        "reversing_batch_id",
        "format('of batch %s operation %s number %s', batch_id, operation_index, number)",
    ),
    Kind.LOT_TERMS: Table(
        "lot_terms",
        {
            "account_id": "uuid",
            "lot_id": "uuid",
            "until_time": "time",
            "activate_time": "time or none",
            "expire_time": "time",
        },
        "lot_id",
        "format('until %s', until_time)",
    ),
    Kind.HOLDS: Table(
        "holds",
        {
            **_PLACE,
            "debit_account_id": "uuid",
            "credit_account_id": "uuid",
            "amount": "number",
            "reason": "number",
            "campaign_id": "text",
            "expire_time": "time",
            "record_time": "time",
        },
        "batch_id",
        "format('operation %s', operation_index)",
    ),
    Kind.ACCOUNT_ACTS: Table(
        "account_acts",
        {
            "account_id": "uuid",
            "number": "number",
            "action": "number",
            "operator_id": "text",
            "note": "text",
            "record_time": "time",
        },
        "account_id",
        "format('version %s', number)",
    ),
    # What became of a correction may change; what was asked for may not, nor who decided.
    Kind.ADJUSTMENTS: Table(
        "adjustments",
        {
            "adjustment_id": "uuid",
            "request": "bytes",
            "asset_code": "text",
            "account_id": "uuid",
            "amount": "number",
            "operator_id": "text",
            "propose_time": "time",
            "expire_time": "time",
        },
        "adjustment_id",
        "'the adjustment itself'",
    ),
    Kind.ADJUSTMENT_ACTS: Table(
        "adjustment_acts",
        {
            "adjustment_id": "uuid",
            "number": "number",
            "action": "number",
            "operator_id": "text",
            "operator_name": "text",
            "note": "text",
            "record_time": "time",
        },
        "adjustment_id",
        "format('act %s', number)",
    ),
    Kind.ADJUSTMENT_LIMIT_ACTS: Table(
        "adjustment_limit_acts",
        {
            "asset_code": "text",
            "operator_id": "text",
            "amount_max": "number",
            "day_amount_max": "number",
            "set_by": "text",
            "record_time": "time",
        },
        _ASSET,
        "format('of %s at %s', operator_id, record_time)",
    ),
    Kind.SETTLEMENT_RATES: Table(
        "settlement_rates",
        {
            "asset_code": "text",
            "issuer_id": "text",
            "acceptor_id": "text",
            "effective_time": "time",
            "value_minor": "number",
            "units": "number",
            "currency_code": "text",
            "operator_id": "text",
            "create_time": "time",
        },
        _ASSET,
        "format('of %s to %s from %s', issuer_id, acceptor_id, effective_time)",
    ),
    Kind.SETTLEMENT_PERIODS: Table(
        "settlement_periods",
        {
            "asset_code": "text",
            "number": "number",
            "from_time": "time",
            "until_time": "time",
            "currency_code": "text",
            "operator_id": "text",
            "close_time": "time",
        },
        _ASSET,
        "format('period %s', number)",
    ),
    Kind.SETTLEMENT_POSITIONS: Table(
        "settlement_positions",
        {
            "asset_code": "text",
            "number": "number",
            "partner_id": "text",
            "account_id": "uuid",
            "after_version": "number",
            "until_version": "number",
            "issued": "number",
            "accepted": "number",
        },
        _ASSET,
        "format('period %s partner %s', number, partner_id)",
    ),
    Kind.SETTLEMENT_DEBTS: Table(
        "settlement_debts",
        {
            "asset_code": "text",
            "number": "number",
            "issuer_id": "text",
            "acceptor_id": "text",
            "amount": "number",
            "value_minor": "number",
            "units": "number",
            "owed_minor": "number",
        },
        _ASSET,
        "format('period %s issuer %s acceptor %s', number, issuer_id, acceptor_id)",
    ),
}


#: How findings call what a row belongs to, where it is no batch.
_OWNERS = {
    Kind.LOT_TERMS: "lot",
    Kind.ACCOUNT_ACTS: "account",
    Kind.ADJUSTMENTS: "adj",
    Kind.ADJUSTMENT_ACTS: "adj",
}


def name(kind: Kind) -> str:
    """Return the name of a table."""
    return TABLES[kind].name


def is_of_asset(kind: Kind) -> bool:
    """Tell whether rows of a kind belong to an asset."""
    return TABLES[kind].unit == _ASSET


def owner(kind: Kind) -> str:
    """Return how findings call what a row belongs to, before its id."""
    return "asset" if is_of_asset(kind) else _OWNERS.get(kind, "bat")


ASSET_NAME = f"SELECT asset_code FROM assets WHERE {_ASSET} = $1"  # noqa: S608  constants only
