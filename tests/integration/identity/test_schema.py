"""The schema: one truth in two forms, and rules that hold even when the code is wrong."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from services.chassis import migrations, outbox
from services.identity.engine import members
from services.identity.storage import contexts

FOLDER = Path(migrations.__file__).parent.parent / "identity"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def test_migrations_are_a_no_op_at_head(empty_database: tuple[Any, Any]) -> None:
    """Applying again applies nothing."""
    made, _ = empty_database
    assert await migrations.apply(made.settings(), FOLDER / "migrations") == []


def test_outbox_is_the_chassis_own() -> None:
    """The outbox table is word for word the one that the relay reads."""
    table = outbox.DDL.split("GRANT")[0].strip()
    assert table in (FOLDER / "schema.sql").read_text()


MEMBER = "INSERT INTO members VALUES ($1, $2, $3, $4, NULL, 'en', '', '', now())"


@pytest.mark.parametrize(
    ("statement", "arguments", "constraint"),
    [
        (MEMBER, (uuid4(), "asleep", b"k", None), "members_state_known"),
        (MEMBER, (uuid4(), "active", None, b"name"), "members_forgotten_whole"),
        (
            "INSERT INTO contacts VALUES ($1, 'phone', $2, $3, now())",
            (uuid4(), b"short", b"c"),
            "contacts_blind_index_whole",
        ),
        (
            "INSERT INTO contacts VALUES ($1, 'fax', $2, $3, now())",
            (uuid4(), bytes(32), b"c"),
            "contacts_kind_known",
        ),
        (
            "INSERT INTO cards VALUES ($1, $1, 'lower', 'active', now())",
            (uuid4(),),
            "cards_card_number_spelt",
        ),
        (
            "INSERT INTO cards VALUES ($1, $1, '1234', 'blocked', now())",
            (uuid4(),),
            "cards_block_time_told",
        ),
        (
            "INSERT INTO member_activity VALUES ($1, -1, now())",
            (uuid4(),),
            "member_activity_count_positive",
        ),
        (
            "INSERT INTO member_activity VALUES ($1, 0, now())",
            (uuid4(),),
            "member_activity_time_told",
        ),
        (
            "INSERT INTO purchases VALUES ($1, $1, 'counted', NULL)",
            (uuid4(),),
            "purchases_counted_dated",
        ),
        (
            "INSERT INTO signing_keys VALUES ('k', 'ES256', '{}', 'x', $1, $2)",
            (NOON, datetime(2026, 5, 1, 11, tzinfo=UTC)),
            "signing_keys_published_first",
        ),
        (
            "INSERT INTO signing_keys VALUES ('k', 'ES256', '{}', NULL, $1, $1)",
            (NOON,),
            "signing_keys_retired_erased",
        ),
        (
            "INSERT INTO clients VALUES ('Wrong', '', '{}', '{}', 'active', now())",
            (),
            "clients_client_id_spelt",
        ),
        (
            "INSERT INTO master_key_checks VALUES (FALSE, 'x')",
            (),
            "master_key_checks_single",
        ),
    ],
)
async def test_broken_rows_are_refused_by_name(
    identity: Any, statement: str, arguments: tuple[Any, ...], constraint: str
) -> None:
    """What the code must never write, the database does not take."""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
        await identity.db.execute(statement, *arguments)
    assert caught.value.constraint_name == constraint


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM members",
        "DELETE FROM cards",
        "UPDATE cards SET card_number = 'X'",
        "UPDATE cards SET member_id = NULL",
        "DELETE FROM requests",
        "UPDATE requests SET answer_ciphertext = ''",
        "UPDATE purchases SET member_id = NULL",
        "DELETE FROM client_secrets",
        "UPDATE client_secrets SET secret_hash = ''",
        "UPDATE signing_keys SET sign_time = now()",
        "DELETE FROM signing_keys",
        "UPDATE master_key_checks SET check_value = ''",
        "UPDATE outbox_events SET payload = ''",
        "TRUNCATE audit_entries",
        "CREATE TABLE extra (x INTEGER)",
    ],
)
async def test_running_service_may_not_rewrite_history(identity: Any, statement: str) -> None:
    """The runtime role holds no more rights than its statements need."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await identity.db.execute(statement)


async def test_context_is_read_by_index_alone(identity: Any) -> None:
    """The checkout's statements look nowhere through a whole table."""
    one = {members.ById: uuid4(), members.ByCard: "CARD", members.ByPhone: bytes(32)}
    statements: list[tuple[str, tuple[Any, ...]]] = [
        (contexts._ONE_BY[kind], (argument,)) for kind, argument in one.items()
    ]
    statements += [(contexts._MANY, ([0], [uuid4()], [1], ["CARD"], [2], [bytes(32)]))]
    async with identity.db.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        await tx.execute("SET LOCAL enable_bitmapscan = off")
        for statement, arguments in statements:
            plan = await tx.fetch(f"EXPLAIN {statement}", *arguments)
            text = "\n".join(row[0] for row in plan)
            assert "Seq Scan" not in text, text
            assert "Index Scan" in text or "Index Only Scan" in text
