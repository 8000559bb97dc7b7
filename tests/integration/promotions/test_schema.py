"""The schema: one truth in two forms, and rules that hold even when the code is wrong."""

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from services.chassis import ids, migrations, outbox
from services.promotions import main
from services.promotions.storage import instant_wins, receipts

FOLDER = Path(migrations.__file__).parent.parent / "promotions"

ANY = "gen_random_uuid()"
NIL = "'00000000-0000-0000-0000-000000000000'"


def receipt(kind: str, state: str, **columns: str) -> str:
    """Return the statement that writes a receipt."""
    required = {
        "receipt_id": ANY,
        "kind": f"'{kind}'",
        "state": f"'{state}'",
        "purchase_time": "now()",
        "update_time": "now()",
    }
    values = required | columns
    return f"INSERT INTO receipts ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def insert(table: str, **values: str) -> str:
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def program(**values: str) -> str:
    """Return the statement that writes a program."""
    required = {"program_id": ANY, "version": "1", "rules": "''", "create_time": "now()"}
    return insert("programs", **required, request_id="'r'", request="''", **values)


def of_member(table: str, **values: str) -> str:
    """Return the statement that writes what a member has in a program."""
    return insert(table, member_id=ANY, program_id=ANY, **values)


def referral(newcomer: str = ANY, referrer: str = ANY, **values: str) -> str:
    """Return the statement that writes a referral."""
    return insert(
        "referrals",
        newcomer_id=newcomer,
        referrer_id=referrer,
        program_id=ANY,
        claim_day="now()",
        create_time="now()",
        **values,
    )


def step(from_level: str, to_level: str, cause: str) -> str:
    levels = {"from_level": from_level, "to_level": to_level}
    return of_member("tier_changes", **levels, cause=f"'{cause}'", change_time="now()")


@pytest.fixture(scope="module")
async def fresh(database):
    return await database("promotions")


@pytest.fixture
async def connection(fresh):
    connection = await asyncpg.connect(fresh.dsn)
    yield connection
    await connection.close()


def test_the_outbox_is_the_chassis_own():
    """The table is word for word the one that the relay reads."""
    assert outbox.DDL.split("GRANT")[0].strip() in (FOLDER / "schema.sql").read_text()


@pytest.mark.parametrize(
    "table",
    [
        "campaign_revisions",
        "rulesets",
        "coupon_grants",
        "tier_changes",
        "subscription_payments",
        "draw_entries",
    ],
)
async def test_what_explains_receipts_never_changes(connection, table):
    """The runtime role may add to it and nothing else."""
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET ctid = ctid"):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError)):
            await connection.execute(statement)


@pytest.mark.parametrize("table", ["purchases", "returns"])
async def test_documents_are_never_rewritten(connection, table):
    """What a receipt got and why stays as it was decided."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(f"UPDATE {table} SET request = ''")


async def test_the_service_makes_partitions_and_no_tables(connection):
    """The one door is the function; a month that is there is left as it is."""
    for _ in range(2):
        await connection.execute(
            "SELECT ensure_month_partitions($1, 2)", datetime(2031, 11, 15, tzinfo=UTC).date()
        )
    names = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relname ~ '^(purchases|returns)_2031' AND relkind = 'r'"
    )
    assert {row["relname"] for row in names} == {
        "purchases_2031_11",
        "purchases_2031_12",
        "returns_2031_11",
        "returns_2031_12",
    }
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("CREATE TABLE mine ()")


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("INSERT INTO catalogue_clock VALUES (FALSE, 1)", "catalogue_clock_sole"),
        ("UPDATE catalogue_clock SET version = -1", "catalogue_clock_version"),
        ("INSERT INTO categories VALUES ('a', 'a', '', 1)", "categories_parent_differs"),
        ("INSERT INTO rulesets VALUES (0, '{}', '{}', now())", "rulesets_version"),
        ("INSERT INTO rulesets VALUES (1, '{}', '{1}', now())", "rulesets_campaigns"),
        (
            (
                "INSERT INTO campaigns VALUES "
                "(gen_random_uuid(), 1, 'LIVE', '', now(), NULL, NULL, NULL, 'r', '')"
            ),
            "campaigns_publication",
        ),
        (
            (
                "INSERT INTO campaigns VALUES "
                "(gen_random_uuid(), 1, 'ENDED', '', now(), now(), 1, NULL, 'r', '')"
            ),
            "campaigns_end",
        ),
        (receipt("OTHER", "PENDING"), "receipts_kind"),
        (receipt("PURCHASE", "LOST", moved="'{}'", batch_id=ANY), "receipts_state"),
        (receipt("RETURN", "PENDING"), "receipts_return"),
        (receipt("RETURN", "RETURNED", purchase_id=ANY, return_number="1"), "receipts_return"),
        (receipt("PURCHASE", "COMMITTED", batch_id=ANY), "receipts_moved"),
        (receipt("PURCHASE", "VOIDING"), "receipts_undo_batch"),
        (program(state="'DRAFT'"), "programs_state"),
        (program(state="'ENDED'"), "programs_end"),
        (of_member("tallies", receipt_id=ANY, day="now()", amount="0"), "tallies_amount"),
        (of_member("standings", level="1", kept="2", grace="FALSE"), "standings_level"),
        (
            of_member(
                "subscriptions",
                subscription_id=ANY,
                create_time="now()",
                period="1",
                request_id="'s'",
                request="''",
            ),
            "subscriptions_period",
        ),
        (
            of_member(
                "member_goals",
                attempt="0",
                rewarded="TRUE",
                receipt_id=ANY,
                change_time="now()",
            ),
            "member_goals_attempt",
        ),
        (
            insert(
                "payouts",
                batch_id=ANY,
                program_id=ANY,
                state="'LOST'",
                batch="''",
                create_time="now()",
            ),
            "payouts_state",
        ),
        (referral(state="'LOST'"), "referrals_state"),
        (referral(state="'CLAIMED'"), "referrals_due"),
        (
            referral(newcomer=NIL, referrer=NIL, state="'LAPSED'"),
            "referrals_others",
        ),
        (
            of_member("member_offers", skus="'{}'", start_time="now()", end_time="now()"),
            "member_offers_window",
        ),
        (insert("draws", program_id=ANY, seed="'short'"), "draws_seed"),
        (
            insert("draws", program_id=ANY, seed="sha256('')", draw_time="now()"),
            "draws_drawn",
        ),
        (of_member("draw_entries", receipt_id=ANY, tickets="0"), "draw_entries_tickets"),
        (step("1", "1", "TIME"), "tier_changes_step"),
        (step("0", "1", "LUCK"), "tier_changes_cause"),
    ],
)
async def test_the_database_refuses_what_cannot_be(connection, statement, constraint):
    """Every invariant is a named constraint."""
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await connection.execute(statement)
    assert caught.value.constraint_name == constraint


async def test_an_upgrade_of_a_filled_database_changes_nothing(fresh):
    """At head there is nothing to apply."""
    assert await migrations.apply(fresh.settings(), FOLDER / "migrations") == []


async def test_chances_of_a_campaign_are_found_by_its_index(fresh):
    """However many purchases a period has, those with other campaigns are not read."""
    campaign_id, start = ids.parse("cmp", ids.new("cmp")), datetime(2020, 1, 1, tzinfo=UTC)
    arguments = (campaign_id, start, datetime.now(UTC), start, uuid4(), 100)
    owner = await asyncpg.connect(fresh.owner_dsn)
    try:
        await owner.execute(_MANY_PURCHASES)
        await owner.execute("ANALYZE purchases")
        plan = await owner.fetch(f"EXPLAIN {instant_wins._DRAWN}", *arguments)
    finally:
        await owner.close()
    text = "\n".join(row[0] for row in plan)
    assert re.search(r"Bitmap Index Scan on \w*chance_campaign_ids_idx", text), text
    assert "Seq Scan on purchases" not in text


async def test_what_waits_does_not_slow_down_what_is_done(fresh):
    """After an outage many purchases wait; each is finished by its key, whatever statistics say."""
    owner = await asyncpg.connect(fresh.owner_dsn)
    try:
        await owner.execute(_MANY_RECEIPTS)
        await owner.execute("ANALYZE receipts")
        for name, value in main._SESSION.items():
            await owner.execute(f"SET {name} = {value}")
        await owner.execute(f"PREPARE finish AS {receipts._FINISH}")
        plan = await owner.fetch(f"EXPLAIN EXECUTE finish ({', '.join(['NULL'] * 7)})")
    finally:
        await owner.close()
    text = "\n".join(row[0] for row in plan)
    assert "receipts_pkey" in text, text
    assert "receipts_unfinished_idx" not in text, text


_MANY_RECEIPTS = """
INSERT INTO receipts (receipt_id, kind, state, purchase_time, update_time)
SELECT gen_random_uuid(), 'PURCHASE', 'COMMITTED', now(), now() FROM generate_series(1, 5000)
"""

_MANY_PURCHASES = """
INSERT INTO purchases (
    receipt_id, purchase_time, record_time, store_id, ruleset_version, request, facts, evaluation,
    chance_campaign_ids
)
SELECT
    gen_random_uuid(), '2021-01-01'::TIMESTAMPTZ + make_interval(mins => n), now(), 's1', 1, '', '',
    '', CASE WHEN n % 10 = 0 THEN ARRAY[gen_random_uuid()] END
FROM generate_series(1, 5000) AS n
"""
