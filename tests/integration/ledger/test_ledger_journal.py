"""The integrity chain: an honest journal holds, and no row is touched unnoticed."""

import asyncio
import json
import random
from uuid import uuid4

import pytest
import yaml
from tessera.ledger.v1 import asset_pb2
from typer.testing import CliRunner

from services.chassis import database as chassis_database
from services.ledger.chainer import Chainer
from services.ledger.engine import journal as engine_journal
from services.ledger.storage import Journal
from tests.integration.ledger.conftest import place, release, running, undo, world
from tests.integration.ledger.test_ledger_load import Crowd
from tools.ledger.command import app
from tools.ledger.verifying import Anchor, Verification

OFTEN = {"chain_interval_s": 0.02}
ROWS = {
    "batches": ("batch_id", "answer = answer || '\\x00'"),
    "transfers": ("batch_id", "amount = amount + 1"),
    "entries": ("batch_id", "record_time = record_time + INTERVAL '1 second'"),
    "lots": ("batch_id", "amount = amount + 1"),
    "lot_takes": ("batch_id", "position = position + 7"),
    "reversals": ("reversing_batch_id", "reversing_operation_index = 9"),
    "lot_terms": ("lot_id", "expire_time = until_time"),
    "holds": ("batch_id", "expire_time = expire_time + INTERVAL '1 day'"),
    "account_acts": ("account_id", "operator_id = 'op_2'"),
    "adjustments": ("adjustment_id", "amount = amount + 1"),
    "adjustment_acts": ("adjustment_id", "note = ''"),
    "adjustment_limit_acts": ("asset_code", "set_by = 'somebody'"),
    "settlement_rates": ("asset_code", "units = units + 1"),
    "settlement_periods": ("asset_code", "close_time = close_time + INTERVAL '1 day'"),
    "settlement_positions": ("asset_code", "issued = issued - 1"),
    "settlement_debts": ("asset_code", "owed_minor = 0"),
}
OWNERS = {
    "lot_terms": "lot",
    "account_acts": "account",
    "adjustments": "adj",
    "adjustment_acts": "adj",
}
#: One row of each kind that people make; $1 is an asset, $2 an account, $3 an adjustment.
BY_PEOPLE = (
    """
    INSERT INTO account_acts (account_id, number, action, operator_id, note, record_time)
    SELECT $2::UUID, 1, 2, 'op_1', 'stolen', now() WHERE $1::TEXT <> '' AND $3::UUID IS NOT NULL
    """,
    """
    INSERT INTO adjustments (adjustment_id, request, asset_code, account_id, amount, state, refusal,
        operator_id, propose_time, decide_time, expire_time)
    VALUES ($3, 'asked', $1, $2, 5, 3, '', 'op_1', now(), now(), now())
    """,
    """
    INSERT INTO adjustment_acts
        (adjustment_id, number, action, operator_id, operator_name, note, record_time)
    SELECT $3::UUID, number, 1, 'op_1', 'Olga', 'because ' || number, now()
    FROM generate_series(1, 2) AS number
    WHERE $1::TEXT <> '' AND $2::UUID IS NOT NULL
    """,
    """
    INSERT INTO adjustment_limit_acts
        (asset_code, operator_id, amount_max, day_amount_max, set_by, record_time)
    SELECT $1::TEXT, 'op_1', 5, 9, 'boss', now() WHERE $2::UUID <> $3::UUID
    """,
    """
    INSERT INTO settlement_rates (asset_code, issuer_id, acceptor_id, effective_time, value_minor,
        units, currency_code, operator_id, create_time)
    SELECT $1::TEXT, 'p1', '', now(), 1, 100, 'XTS', 'op_1', now() WHERE $2::UUID <> $3::UUID
    """,
    """
    INSERT INTO settlement_periods
        (asset_code, number, from_time, until_time, currency_code, operator_id, close_time)
    SELECT $1::TEXT, 1, now() - INTERVAL '1 day', now(), 'XTS', 'op_1', now()
    WHERE $2::UUID <> $3::UUID
    """,
    """
    INSERT INTO settlement_positions (asset_code, number, partner_id, account_id, after_version,
        until_version, issued, accepted)
    SELECT $1::TEXT, 1, 'p1', $2::UUID, 0, 4, 100, 90 WHERE $2::UUID <> $3::UUID
    """,
    """
    INSERT INTO settlement_debts
        (asset_code, number, issuer_id, acceptor_id, amount, value_minor, units, owed_minor)
    SELECT $1::TEXT, 1, 'p1', '', 90, 1, 100, 1 WHERE $2::UUID <> $3::UUID
    """,
)


def _where(block, table, unit):
    """Return how findings name a row's block, what it belongs to, and its table."""
    if isinstance(unit, str):
        return f"block {block}, asset {unit}: {table}"
    return f"block {block}, {OWNERS.get(table, 'bat')}_{unit.hex}: {table}"


async def _covered(source, journal=None):
    """Wait until everything that was written is chained; return the head."""
    journal = journal or Journal()
    async with asyncio.timeout(20):
        while True:
            head = await journal.head(source)
            if head and not await journal.units(source, start=head.end, end=2**62):
                return head
            await asyncio.sleep(0.01)


async def _verified(source, *anchors, after=0):
    verification = Verification(source, Journal())
    async for _ in verification.run(list(anchors), after=after, head=await verification.head()):
        pass
    return verification.findings


@pytest.fixture(scope="module")
async def chained(ledger_database, valkey):
    """Run a ledger with a journal of many blocks, in which every kind of row occurs."""
    async with running(ledger_database, valkey.url, **OFTEN) as ledger:
        await ledger.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        held = asset_pb2.LotPolicy(time_zone="UTC", pending_until_release=True)
        await ledger.asset("held", lot_policy=held)
        for amount in range(10, 16):
            anna = ledger.member()
            await ledger.earn(anna, amount)
            spent = await ledger.spend(anna, amount - 5)
            await ledger.spend(anna, 1000)
            await ledger.post(undo(spent, 2), place(anna, world(), 1))
            await ledger.post(release(await ledger.earn(ledger.member("held"), amount)))
            await ledger.asset(f"people_{amount}")
            arguments = f"people_{amount}", uuid4(), uuid4()
            for statement in BY_PEOPLE:
                await ledger.db.execute(statement, *arguments)
            await _covered(ledger.db)
        yield ledger


@pytest.fixture
async def owner(ledger_database, chained):
    """Let the owner of the database do as he likes; afterwards it never happened."""
    await _covered(chained.db)
    connection = await chassis_database.connect_owner(ledger_database.settings())
    change = connection.transaction()
    await change.start()
    try:
        yield connection
    finally:
        await change.rollback()
        await connection.close()


async def _victim(connection, table, place):
    """Return the batch of a row in the first, the middle or the last block that has such a row."""
    unit, _ = ROWS[table]
    found = await connection.fetch(
        f"""
        SELECT block_number, (array_agg({unit}))[1] AS unit FROM {table} JOIN journal_blocks
        ON transaction_id >= start_transaction AND transaction_id < end_transaction
        GROUP BY block_number ORDER BY block_number
        """
    )
    return found[{"first": 0, "middle": len(found) // 2, "last": -1}[place]]


async def test_an_honest_journal_holds(chained):
    """Every row is covered, by blocks that follow each other."""
    head = await _covered(chained.db)
    assert head.number >= 6
    assert await _verified(chained.db) == []
    rows = 0
    for table in ROWS:
        rows += await chained.db.fetchval(f"SELECT count(*) FROM {table}")
    assert await chained.db.fetchval("SELECT sum(row_count) FROM journal_blocks") == rows


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("table", ROWS)
async def test_a_changed_row_is_found_and_named(owner, table, place):
    """Whatever the table, wherever in the chain."""
    unit, change = ROWS[table]
    block, batch = await _victim(owner, table, place)
    await owner.execute(f"UPDATE {table} SET {change} WHERE {unit} = $1", batch)
    findings = await _verified(owner)
    assert findings
    for finding in findings:
        assert finding.startswith(f"{_where(block, table, batch)}, ")
        assert finding.endswith(": was changed")


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("table", ROWS)
async def test_a_removed_row_is_found(owner, table, place):
    """Its batch and its table are named."""
    unit, _ = ROWS[table]
    block, batch = await _victim(owner, table, place)
    removed = await owner.fetch(f"DELETE FROM {table} WHERE {unit} = $1 RETURNING 1", batch)
    findings = await _verified(owner)
    assert findings == [f"{_where(block, table, batch)}: a row was removed"] * len(removed)


@pytest.mark.parametrize("table", ROWS)
async def test_an_inserted_row_is_found_and_named(owner, table):
    """A row that pretends to have been there when its block was made."""
    unit, _ = ROWS[table]
    block, batch = await _victim(owner, table, "middle")
    await owner.execute(f"CREATE TEMPORARY TABLE copy AS SELECT * FROM {table}")
    another = "'held'" if unit == "asset_code" else "uuidv7()"
    await owner.execute(f"UPDATE copy SET {unit} = {another}")
    if table == "entries":
        await owner.execute("UPDATE copy SET version = version + 1000")
    if table == "reversals":
        await owner.execute("UPDATE copy SET number = number + 1000")
    if table == "lots":
        await owner.execute("UPDATE copy SET lot_id = uuidv7()")
    inserted = await owner.fetchval(
        f"""
        INSERT INTO {table} SELECT copy.* FROM copy JOIN journal_blocks
        ON transaction_id >= start_transaction AND transaction_id < end_transaction
        WHERE block_number = $1 LIMIT 1
        RETURNING {unit}
        """,
        block,
    )
    findings = await _verified(owner)
    assert len(findings) == 1
    assert findings[0].startswith(f"{_where(block, table, inserted)}, ")
    assert findings[0].endswith(": was inserted")
    assert (batch if isinstance(batch, str) else batch.hex) not in findings[0]


async def test_rows_that_change_places_are_found(owner):
    """The history of an account, told in another order."""
    account = await owner.fetchval("SELECT account_id FROM entries LIMIT 1")
    swap = "UPDATE entries SET version = $3 WHERE account_id = $1 AND version = $2"
    for before, after in ((1, 99), (2, 1), (99, 2)):
        await owner.execute(swap, account, before, after)
    findings = await _verified(owner)
    assert {finding.split(": ", 1)[1] for finding in findings} == {
        f"entries, account {account} version {version}: was changed" for version in (1, 2)
    }


async def test_a_row_that_moves_to_another_block_is_found(owner):
    """Missing in the one, foreign in the other."""
    block, batch = await _victim(owner, "batches", "middle")
    start = await owner.fetchval(
        "SELECT start_transaction FROM journal_blocks WHERE block_number = $1", block - 1
    )
    await owner.execute("UPDATE batches SET transaction_id = $2 WHERE batch_id = $1", batch, start)
    findings = await _verified(owner)
    assert findings == [
        f"block {block - 1}, bat_{batch.hex}: batches, the batch itself: was inserted",
        f"block {block}, bat_{batch.hex}: batches: a row was removed",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM journal_blocks WHERE block_number = 1",
        "DELETE FROM journal_blocks WHERE block_number = 3",
        "UPDATE journal_blocks SET root = sha256(root) WHERE block_number = 1",
        "UPDATE journal_blocks SET root = sha256(root) WHERE block_number = 3",
        "UPDATE journal_blocks SET root = sha256(root) WHERE block_number = $1",
        "UPDATE journal_blocks SET row_count = row_count + 1 WHERE block_number = 2",
        "UPDATE journal_blocks SET row_index = row_index || '\\x00' WHERE block_number = 2",
        "UPDATE journal_blocks SET block_number = block_number + 1 WHERE block_number = $1",
        "UPDATE journal_blocks SET format = 1 WHERE block_number = 3",
        "UPDATE journal_blocks SET format = 1 WHERE block_number = $1",
        """UPDATE journal_blocks SET end_transaction = end_transaction + 1
        WHERE block_number = $1""",
    ],
)
async def test_a_rewritten_chain_is_found(owner, statement):
    """Blocks are removed, renumbered, or say something else."""
    head = await _covered(owner)
    arguments = (head.number,) if "$1" in statement else ()
    assert not (await owner.execute(statement, *arguments)).endswith(" 0")
    assert await _verified(owner)


async def test_a_block_that_is_rewritten_together_with_its_rows_is_found(owner):
    """The block behind it does not follow any more."""
    journal = Journal()
    number, batch = await _victim(owner, "batches", "middle")
    before, block = [one async for one in journal.blocks(owner, after=number - 2, until=number)]
    await owner.execute(
        "UPDATE batches SET operator_id = 'x' WHERE transaction_id >= $1 AND transaction_id < $2",
        block.start,
        block.end,
    )
    units = await journal.units(owner, start=block.start, end=block.end)
    forged = engine_journal.link(before, end=block.end, units=units)
    await owner.execute(
        "UPDATE journal_blocks SET root = $2, row_index = $3 WHERE block_number = $1",
        block.number,
        forged.root,
        forged.index,
    )
    findings = await _verified(owner)
    assert findings == [
        f"block {number + 1}: does not follow from what it covers and the block before it"
    ]
    assert batch


async def _anchors(source):
    """Return anchors of an older head and of the present one."""
    head = await _covered(source)
    blocks = [one async for one in Journal().blocks(source, after=1, until=head.number)]
    return Anchor.of(blocks[0]), Anchor.of(head)


async def test_anchors_of_any_age_agree_with_an_honest_chain(owner):
    """Also when the walk begins behind the older one."""
    anchors = await _anchors(owner)
    assert await _verified(owner, *anchors) == []
    assert await _verified(owner, *anchors, after=2) == []
    assert await _verified(owner, *anchors, after=4) == []


async def test_an_anchor_finds_a_chain_that_was_made_anew(owner):
    """Consistent in itself, and not the one that the anchor was taken from."""
    old, _ = await _anchors(owner)
    await owner.execute("UPDATE batches SET operator_id = 'somebody else'")
    journal = Journal()
    await owner.execute("DELETE FROM journal_blocks")
    ends = await owner.fetch("SELECT DISTINCT transaction_id + 1 FROM batches ORDER BY 1 LIMIT 5")
    previous = None
    for (end,) in ends:
        start = previous.end if previous else 0
        units = await journal.units(owner, start=start, end=end)
        previous = engine_journal.link(previous, end=end, units=units)
        await journal.append(owner, previous)
    assert await _verified(owner) == []
    assert await _verified(owner, old) == [f"block {old.block}: another root than in the anchor"]


async def test_an_anchor_finds_a_chain_that_was_cut(owner):
    """The blocks that are left hold; those that the anchor knows are gone."""
    old, last = await _anchors(owner)
    await owner.execute("DELETE FROM journal_blocks WHERE block_number = $1", last.block)
    assert await _verified(owner, old) == []
    assert await _verified(owner, last) == [
        f"block {last.block}: in the anchor, but not in the chain"
    ]


async def test_a_chain_that_ends_before_what_is_trusted_does_not_hold(
    ledger_database, valkey, chained, tmp_path
):
    """Who trusts a block that is not there has another chain before him."""
    head = await _covered(chained.db)
    assert await _verified(chained.db, after=head.number) == []
    missing = f"block {head.number + 1}: trusted, but the chain ends at block {head.number}"
    assert await _verified(chained.db, after=head.number + 1) == [missing]
    file = tmp_path / "tessera.yaml"
    section = {
        "server": {"port": 0, "metrics_port": 0},
        "database": {name: str(value) for name, value in ledger_database.fields().items()},
        "hotstore": {"url": valkey.url},
    }
    file.write_text(yaml.safe_dump({"ledger": section}))
    command = ["verify", "--config", str(file), "--after", "120000"]
    done = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert done.exit_code == 1
    assert f"block 120000: trusted, but the chain ends at block {head.number}" in done.output
    assert "The journal holds" not in done.output


async def test_the_runtime_role_cannot_rewrite_the_chain(chained):
    """It may append, and no more."""
    for statement in ("DELETE FROM journal_blocks", "UPDATE journal_blocks SET row_count = 1"):
        with pytest.raises(Exception, match="permission denied"):
            await chained.db.execute(statement)


async def test_a_transaction_that_ends_late_is_not_left_out(chained):
    """Blocks stop before it as long as it runs, whatever was committed after it began."""
    anna = chained.member()
    async with chained.db.transaction() as tx:
        late = await tx.fetchval(
            """
            INSERT INTO batches (batch_id, request, answer, refused, operation_count, receipt_id,
                operator_id, occurred_time, record_time)
            VALUES (uuidv7(), '', '', TRUE, 1, '', '', now(), now())
            RETURNING transaction_id
            """
        )
        for _ in range(5):
            await chained.earn(anna, 1)
        await Chainer(chained.db, Journal(), interval_s=1).chain(chained.db)
        head = await Journal().head(chained.db)
        assert head is not None
        assert head.end <= late
        assert await _verified(chained.db) == []
    head = await _covered(chained.db)
    assert head.end > late
    assert await _verified(chained.db) == []


async def test_an_honest_journal_holds_under_load(ledger_database, valkey):
    """Two ledgers write and chain; nothing is found meanwhile, and nothing is left out."""
    async with (
        running(ledger_database, valkey.url, **OFTEN) as first,
        running(ledger_database, valkey.url, pace_ms=0, **OFTEN) as second,
    ):
        await first.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        await first.asset("coins", floor=-30)
        members = [first.member(code) for code in ("points", "coins") for _ in range(3)]
        crowd = Crowd([first, second], members)
        crowd.chance = random.Random(11)
        for _ in range(15):
            await asyncio.gather(*(crowd.act() for _ in range(24)))
            assert await _verified(first.db) == []
        await _covered(first.db)
        assert await _verified(first.db) == []
        chained_rows = await first.db.fetchval("SELECT sum(row_count) FROM journal_blocks")
        total = sum([await first.db.fetchval(f"SELECT count(*) FROM {name}") for name in ROWS])
        assert chained_rows == total


@pytest.mark.usefixtures("chained")
def test_the_command_verifies_exports_and_compares(ledger_database, valkey, tmp_path):
    """Exit code 0 and an anchor for an honest journal; 1 and the row for another one."""
    settings, anchor = tmp_path / "tessera.yaml", tmp_path / "anchor.json"
    section = {
        "server": {"port": 0, "metrics_port": 0},
        "database": {name: str(value) for name, value in ledger_database.fields().items()},
        "hotstore": {"url": valkey.url},
    }
    settings.write_text(yaml.safe_dump({"ledger": section}))
    shell = CliRunner()
    command = ["verify", "--config", str(settings)]
    done = shell.invoke(app, [*command, "--export", str(anchor)])
    assert (done.exit_code, "The journal holds up to block" in done.output) == (0, True)
    assert shell.invoke(app, [*command, "--anchor", str(anchor)]).exit_code == 0
    forged = {**json.loads(anchor.read_text()), "root": "00" * 32}
    anchor.write_text(json.dumps(forged))
    done = shell.invoke(app, [*command, "--anchor", str(anchor)])
    assert (done.exit_code, "another root than in the anchor" in done.output) == (1, True)
    anchor.write_text("{}")
    assert shell.invoke(app, [*command, "--anchor", str(anchor)]).exit_code == 2
    assert shell.invoke(app, ["verify", "--config", str(tmp_path / "none")]).exit_code == 2


async def test_chaining_catches_up_in_small_blocks(owner, monkeypatch):
    """However much has waited, a block stays small; transactions are never split."""
    monkeypatch.setattr("services.ledger.chainer._ROWS_MAX", 3)
    await owner.execute("DELETE FROM journal_blocks")
    head = await Chainer(owner, Journal(), interval_s=1).chain(owner)
    assert head is not None
    assert head.number > 20
    assert await _verified(owner) == []


async def _chained_by_an_older_version(owner):
    """Make half of the chain anew, in format 1, as a process that knew no more did; go on.

    Return the first block of the other half.
    """
    journal = Journal()
    head = await _covered(owner)
    half = head.number // 2
    known = [one async for one in journal.blocks(owner, after=0, until=half)]
    await owner.execute("DELETE FROM journal_blocks")
    previous = None
    for block in known:
        start = previous.end if previous else 0
        units = await journal.units(owner, start=start, end=block.end, newer_start=block.end)
        if units:
            previous = engine_journal.link(previous, end=block.end, units=units, form=1)
            await journal.append(owner, previous)
    assert await _verified(owner) == []
    await Chainer(owner, journal, interval_s=1).chain(owner)
    blocks = [one async for one in journal.blocks(owner, after=0, until=head.number)]
    return next(one for one in blocks if one.format == 2)


@pytest.mark.parametrize("table", list(ROWS)[8:])
async def test_what_an_older_version_left_out_is_covered_by_the_next_block(owner, table):
    """Its blocks hold as they are, and no row that people made is without a block."""
    unit, change = ROWS[table]
    newer = await _chained_by_an_older_version(owner)
    assert await _verified(owner) == []
    assert await _verified(owner, after=newer.number) == []
    oldest, transaction = await owner.fetchrow(
        f"SELECT {unit}, transaction_id FROM {table} ORDER BY transaction_id LIMIT 1"
    )
    assert transaction < newer.start
    await owner.execute(f"UPDATE {table} SET {change} WHERE {unit} = $1", oldest)
    findings = await _verified(owner)
    assert findings
    for finding in findings:
        assert finding.startswith(f"{_where(newer.number, table, oldest)}, ")
        assert finding.endswith(": was changed")


async def test_what_came_of_a_correction_may_still_be_noted(owner):
    """Decisions are acts of their own; the state beside them is no evidence."""
    await owner.execute("UPDATE adjustments SET state = 4, refusal = 'because'")
    assert await _verified(owner) == []


async def test_acts_that_change_places_are_found(owner):
    """Who approved first, told the other way round."""
    one = await owner.fetchval("SELECT adjustment_id FROM adjustment_acts LIMIT 1")
    swap = "UPDATE adjustment_acts SET number = $3 WHERE adjustment_id = $1 AND number = $2"
    for before, after in ((1, 99), (2, 1), (99, 2)):
        await owner.execute(swap, one, before, after)
    findings = await _verified(owner)
    assert {finding.split(": ", 1)[1] for finding in findings} <= {
        f"adjustment_acts, act {number}: was changed" for number in (1, 2)
    }
    assert findings
