"""The schema: one truth in two forms, and rules that hold even when the code is wrong."""

from pathlib import Path

import asyncpg
import pytest

from services.chassis import migrations, outbox
from tests.integration.ledger.conftest import undo

FOLDER = Path(migrations.__file__).parent.parent / "ledger"


def test_the_outbox_is_the_chassis_own():
    """The table is word for word the one that the relay reads."""
    assert outbox.DDL.split("GRANT")[0].strip() in (FOLDER / "schema.sql").read_text()


@pytest.mark.parametrize(
    "table",
    [
        "assets",
        "batches",
        "transfers",
        "entries",
        "lot_takes",
        "reversals",
        "holds",
        "account_acts",
    ],
)
async def test_evidence_can_only_be_added_to(ledger, table):
    """The runtime role may neither change nor remove it."""
    for statement in (
        f"DELETE FROM {table}",
        f"UPDATE {table} SET ctid = ctid",
        f"TRUNCATE {table}",
    ):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError)):
            await ledger.db.execute(statement)


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE accounts SET version = -1", "accounts_version_current"),
        (
            "UPDATE accounts SET balance = floor - 1, pending = 0 WHERE balance > 0",
            "accounts_floor_kept",
        ),
        ("UPDATE accounts SET ceiling = balance - 1 WHERE balance > 0", "accounts_ceiling_kept"),
        ("UPDATE accounts SET pending = balance + 1", "accounts_pending_within_balance"),
        ("UPDATE lots SET remaining = amount + 1", "lots_remaining_within"),
        ("UPDATE lots SET remaining = -1", "lots_held_within"),
        (
            "INSERT INTO entries SELECT id, 1, id, 0, 5, 1, 7, now() FROM gen_random_uuid() AS id",
            "entries_balance_runs",
        ),
        (
            "INSERT INTO reversals SELECT id, 0, 1, id, 0, 5, 11, 10 FROM gen_random_uuid() AS id",
            "reversals_within_transfer",
        ),
        (
            """
            INSERT INTO transfers
            SELECT id, 0, id, id, 1, 1, '', now(), now() FROM gen_random_uuid() AS id
            """,
            "transfers_accounts_differ",
        ),
        ("UPDATE accounts SET held = -1", "accounts_held_not_negative"),
        ("UPDATE accounts SET state = 4", "accounts_state_known"),
        ("UPDATE accounts SET debt = -1", "accounts_debt_not_negative"),
        ("UPDATE accounts SET incoming = -1", "accounts_incoming_not_negative"),
        (
            "UPDATE accounts SET held = balance - floor + 1 WHERE balance > 0",
            "accounts_held_above_floor",
        ),
        (
            "UPDATE accounts SET ceiling = balance, incoming = 1 WHERE balance > 0",
            "accounts_incoming_below_ceiling",
        ),
        ("UPDATE lots SET held = remaining + 1", "lots_held_within"),
        (
            """
            INSERT INTO reserves
            SELECT id, 0, id, FALSE, 5, 3, now(), NULL, '{}', '{}' FROM gen_random_uuid() AS id
            """,
            "reserves_end_when_ended",
        ),
        (
            """
            INSERT INTO holds
            SELECT id, 0, id, id, 5, 1, '', now(), now() FROM gen_random_uuid() AS id
            """,
            "holds_accounts_differ",
        ),
        (
            "INSERT INTO assets VALUES ('x', 0, -1, NULL, '{}', now())",
            "assets_lots_need_floor_zero",
        ),
    ],
)
async def test_the_database_refuses_what_cannot_be(ledger, statement, constraint):
    """Every invariant is a named constraint."""
    anna = ledger.member()
    purchase = await ledger.earn(anna, 10)
    await ledger.post(undo(purchase, 4))
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await ledger.db.execute(statement)
    assert caught.value.constraint_name == constraint
