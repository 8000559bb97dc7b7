"""The checker: silent about honest books under any load, and loud about every planted fault."""

import asyncio
import random
from datetime import timedelta

import pytest
import yaml
from tessera.ledger.v1 import asset_pb2, batch_pb2, books_service_pb2, books_service_pb2_grpc
from typer.testing import CliRunner

from services.chassis import database as chassis_database
from services.chassis import timestamps
from services.ledger import engine
from services.ledger.checker import MISMATCHES, OPEN, Checker, Examiner
from services.ledger.storage import Checks, Copies, Finding, Journal, copies
from tests.integration.ledger.conftest import move, place, running, undo, world
from tests.integration.ledger.test_ledger_load import Crowd
from tools.ledger.command import app

QUIET = {"chain_interval_s": 0.05, "check_interval_s": 3600}


class Office:
    """A ledger with a checker that works when told to."""

    def __init__(self, ledger, owner):
        self.ledger = ledger
        self.owner = owner
        truth = Checks(ledger.db)
        self.examiner = Examiner(truth, Copies(ledger.hot), now=ledger.now)
        self.checker = Checker(ledger.db, truth, self.examiner, interval_s=1)

    async def account(self, asset="points"):
        """Return an account with a history: earned, spent, and partly given back."""
        anna = self.ledger.member(asset)
        await self.ledger.earn(anna, 30)
        await self.ledger.earn(anna, 12)
        spent = await self.ledger.spend(anna, 35)
        await self.ledger.post(undo(spent, 5))
        return anna

    async def corrupt(self, statement, *arguments):
        """Do as the database's owner what nobody may do."""
        assert not (await self.owner.execute(statement, *arguments)).endswith(" 0")

    async def examine(self, *accounts):
        keys = [key_of(account) for account in accounts]
        return await self.examiner.examine(keys, entries_max=1000)

    async def audit(self):
        """Check until all that was written is audited; return everything that was found."""
        found: list[Finding] = []
        truth = self.checker._truth
        async with asyncio.timeout(30):
            while True:
                start = await truth.audited()
                is_audited = await truth.next_audit(start=start, blocks=1) is None
                found += await self.checker.check()
                if is_audited and await self._is_chained(start):
                    return found

    async def _is_chained(self, end):
        """Tell whether the journal's last block, which ends there, covers everything."""
        return not await Journal().units(self.ledger.db, start=end, end=2**62)


def key_of(account):
    return engine.key(account.asset_code, account.owner.owner_type, account.owner.owner_id)


@pytest.fixture(scope="module")
async def books(ledger_database, valkey):
    async with running(ledger_database, valkey.url, **QUIET) as ledger:
        await ledger.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        days = asset_pb2.RollingExpiry(days=10, rounding=asset_pb2.EXPIRY_ROUNDING_NONE)
        await ledger.asset(
            "late", lot_policy=asset_pb2.LotPolicy(pending_days=3, rolling=days, time_zone="UTC")
        )
        await ledger.asset("coins")
        yield ledger


@pytest.fixture
async def office(books, ledger_database):
    connection = await chassis_database.connect_owner(ledger_database.settings())
    yield Office(books, connection)
    await connection.close()
    books.now.ahead = timedelta(0)


@pytest.fixture
async def new_office(database, valkey):
    """Return an office on a database of its own, where no other test has left its faults."""
    made = await database("ledger")
    async with running(made, valkey.url, **QUIET) as ledger:
        await ledger.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        connection = await chassis_database.connect_owner(made.settings())
        yield Office(ledger, connection)
        await connection.close()


@pytest.mark.parametrize("spent", [30, 50])
async def test_a_gift_that_is_owed_comes_back_in_the_books_too(office, spent):
    """Whatever the receiver has left, the giver's lots were restored by what moved the points."""
    ledger = office.ledger
    anna, boris = ledger.member(), ledger.member()
    await ledger.earn(anna, 100)
    gift = await ledger.post(move(anna, boris, 50))
    await ledger.spend(boris, spent)
    before = ledger.now()
    await ledger.post(undo(gift, 50, batch_pb2.SHORTFALL_DEBT))
    assert await office.examine(anna, boris) == []
    books = books_service_pb2_grpc.BooksServiceStub(ledger.channel)
    for at, available in ((before, 50), (ledger.now(), 100)):
        request = books_service_pb2.GetPastBalanceRequest(
            account=anna,
            at_time=timestamps.show(at),
            basis=books_service_pb2.TIME_BASIS_RECORDED,
        )
        past = (await books.GetPastBalance(request)).balance
        assert (past.available, past.expired) == (available, 0)
    traced = books_service_pb2.TraceSpendingRequest(batch_id=gift.batch_id)
    (part,) = (await books.TraceSpending(traced)).parts
    assert (part.amount, part.restored) == (50, 50)


async def test_honest_books_are_clean(office):
    """With lots and without, with copies and without, pending, active and expired."""
    accounts = [await office.account(asset) for asset in ("points", "coins")]
    accounts += [office.ledger.member("late") for _ in range(2)]
    for late in accounts[2:]:
        await office.ledger.earn(late, 20)
    for debit in accounts[:2]:
        for life in (1, 7):
            credit = office.ledger.member(debit.asset_code)
            held = place(debit, credit, 1, life_s=life * 86_400)
            accounts.append(credit)
            await office.ledger.post(held)
    await office.ledger.balances(*accounts)
    for days in (0, 2.9, 3.1, 13.5):
        office.ledger.now.ahead = timedelta(days=days)
        assert await office.examine(*accounts) == []
        await office.ledger.balances(*accounts)
        assert await office.examine(*accounts) == []
    assert await office.audit() == []


FAULTS = {
    "a balance that grew": (
        "entries",
        "UPDATE accounts SET balance = balance + 1 WHERE account_id = $1",
    ),
    "a version that fell": (
        "entries",
        "UPDATE accounts SET version = 1 WHERE account_id = $1",
    ),
    "an entry that is gone": (
        "entries",
        "DELETE FROM entries WHERE account_id = $1 AND version = 2",
    ),
    "a first entry that is gone": (
        "entries",
        "DELETE FROM entries WHERE account_id = $1 AND version = 1",
    ),
    "a last entry that is gone": (
        "entries",
        "DELETE FROM entries WHERE account_id = $1 AND version = 4",
    ),
    "an entry of another amount": (
        "transfers",
        """
        UPDATE entries SET amount = amount + 1, balance_after = balance_after + 1
        WHERE account_id = $1 AND version = 2
        """,
    ),
    "a transfer of another amount": (
        "transfers",
        "UPDATE transfers SET amount = amount + 1 WHERE credit_account_id = $1",
    ),
    "a transfer that is gone": (
        "transfers",
        "DELETE FROM transfers WHERE debit_account_id = $1 AND reason <> 8",
    ),
    "a lot that grew": (
        "lots",
        """
        UPDATE lots SET remaining = remaining + 1, amount = amount + 1
        WHERE account_id = $1 AND remaining > 0
        """,
    ),
    "a lot that is gone": (
        "lots",
        "DELETE FROM lots WHERE account_id = $1 AND remaining > 0",
    ),
    "lots that changed sizes": (
        "takes",
        """
        UPDATE lots SET remaining = CASE WHEN remaining > 0 THEN remaining - 1 ELSE 1 END
        WHERE account_id = $1
        """,
    ),
    "a take that is gone": (
        "takes",
        "DELETE FROM lot_takes WHERE account_id = $1 AND position = 1",
    ),
    "a lot bigger than its credit": (
        "takes",
        "UPDATE lots SET amount = amount + 3 WHERE account_id = $1",
    ),
    "lots that cannot be found": (
        "lots",
        "UPDATE lots SET expire_time = '2100-01-01' WHERE account_id = $1 AND remaining > 0",
    ),
    "points that nobody holds": (
        "lots",
        "UPDATE accounts SET held = 1 WHERE account_id = $1",
    ),
    "a lot that nobody holds": (
        "lots",
        "UPDATE lots SET held = 1 WHERE account_id = $1 AND remaining > 0",
    ),
    "room that nobody promised": (
        "summary",
        "UPDATE accounts SET incoming = 1 WHERE account_id = $1",
    ),
    "a debt that nobody has": (
        "debts",
        "UPDATE accounts SET debt = 5 WHERE account_id = $1",
    ),
    "points that wait for nothing": (
        "summary",
        "UPDATE accounts SET pending = 1 WHERE account_id = $1",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_found(office, fault):
    """Each says what kind of contradiction it is, and on which account."""
    kind, statement = FAULTS[fault]
    anna, boris = await office.account(), await office.account()
    await office.corrupt(statement, key_of(anna).id)
    findings = await office.examine(anna, boris)
    assert kind in {finding.kind for finding in findings}
    assert {finding.subject_id for finding in findings} == {key_of(anna).id}
    assert anna.owner.owner_id not in str(findings)


HELD = {
    "a hold of another amount": """
        UPDATE reserves SET remaining = remaining + 1 WHERE account_id = $1
        """,
    "a hold that was let go": """
        UPDATE reserves SET state = 3, end_time = now() WHERE account_id = $1
        """,
    "a hold of other lots": """
        UPDATE reserves SET lot_ids = ARRAY[uuidv7()], lot_amounts = ARRAY[3::BIGINT]
        WHERE account_id = $1
        """,
    "a hold that lasts longer": """
        UPDATE reserves SET expire_time = expire_time + INTERVAL '1 day' WHERE account_id = $1
        """,
    "a hold that was never placed": """
        DELETE FROM holds WHERE debit_account_id = $1
        """,
}


@pytest.mark.parametrize("fault", HELD)
async def test_a_hold_that_keeps_something_else_is_found(office, fault):
    """It is held against its account, its lots, and what was asked for."""
    anna, boris = await office.account(), await office.account()
    for one in (anna, boris):
        await office.ledger.post(place(one, world(), 3))
    assert await office.examine(anna, boris) == []
    await office.corrupt(HELD[fault], key_of(anna).id)
    findings = await office.examine(anna, boris)
    assert "holds" in {finding.kind for finding in findings}
    assert {finding.subject_id for finding in findings} == {key_of(anna).id}


async def test_a_copy_that_lies_is_found(office):
    """Of the account's own version, and of one that there never was."""
    anna = await office.account()
    held, key = Copies(office.ledger.hot), key_of(anna)
    for version, available in ((4, 13), (9, 12)):
        seen = await held.get([key])
        lease, _ = await held.lease([key], seen=seen)
        lie = engine.Balance(
            key, available, 0, 0, 0, 0, version, None, 0, office.ledger.now(), None
        )
        await held.fill(lease, [lie])
        assert [finding.kind for finding in await office.examine(anna)] == ["copy"]


async def test_an_old_copy_is_wrong_only_when_it_stays(office, monkeypatch):
    """Postings show themselves after they are committed: for a moment every copy is old."""
    anna = await office.account()
    held, key = Copies(office.ledger.hot), key_of(anna)
    lease, _ = await held.lease([key], seen=await held.get([key]))
    old = engine.Balance(key, 0, 0, 0, 0, 0, 2, None, 0, office.ledger.now(), None)
    await held.fill(lease, [old])
    assert await office.examine(anna) == []
    assert await office.examine(anna) == []
    monkeypatch.setattr(copies, "LIFE_S", -1)
    assert [finding.kind for finding in await office.examine(anna)] == ["copy_stale"]


async def test_a_tally_that_lies_is_found_until_it_is_right_again(new_office):
    """The world's accounts have no entries: they are held against all transfers."""
    office = new_office
    await office.account()
    assert await office.audit() == []
    issuance = key_of(world("points")).id
    before = MISMATCHES.labels("tallies")._value.get()
    await office.corrupt("INSERT INTO tallies VALUES ($1, 7)", issuance)
    for _ in range(2):
        assert [finding[:2] for finding in await office.checker.check()] == [("tallies", issuance)]
    assert MISMATCHES.labels("tallies")._value.get() == before + 1
    assert OPEN._value.get() == 1
    await office.account()
    assert {finding.kind for finding in await office.audit()} == {"tallies"}
    await office.corrupt("INSERT INTO tallies VALUES ($1, -7)", issuance)
    assert await office.checker.check() == []
    assert OPEN._value.get() == 0


MOVED = {
    "an entry that is gone": "DELETE FROM entries WHERE account_id = $1 AND version = 3",
    "an entry of somebody else": """
        UPDATE entries SET account_id = uuidv7() WHERE account_id = $1 AND version = 3
        """,
    "a transfer of another amount": """
        UPDATE transfers SET amount = 9 WHERE credit_account_id = $1 AND amount = 12
        """,
    "a refused batch with transfers": """
        UPDATE batches SET refused = TRUE
        WHERE batch_id IN (SELECT batch_id FROM transfers WHERE credit_account_id = $1)
        """,
    "a reversal that counts wrong": """
        UPDATE reversals SET reversed_amount = reversed_amount + 1
        WHERE batch_id IN (SELECT batch_id FROM transfers WHERE debit_account_id = $1)
        """,
}


@pytest.mark.parametrize("fault", MOVED)
async def test_new_movements_are_held_against_each_other(new_office, fault):
    """Whether or not the lot falls on their accounts."""
    anna = await new_office.account()
    await new_office.corrupt(MOVED[fault], key_of(anna).id)
    assert "transfers" in {finding.kind for finding in await new_office.audit()}


async def test_no_false_alarm_under_load(database, valkey):
    """Two ledgers write, copies come and go: every finding would be a lie."""
    made = await database("ledger")
    async with (
        running(made, valkey.url, **QUIET) as first,
        running(made, valkey.url, pace_ms=0, **QUIET) as second,
    ):
        office = Office(first, None)
        await first.asset("points", lot_policy=asset_pb2.LotPolicy(time_zone="UTC"))
        policy = asset_pb2.LotPolicy(time_zone="UTC", sliding=asset_pb2.SlidingExpiry(days=30))
        await first.asset("lazy", lot_policy=policy)
        await first.asset("coins", floor=-30)
        members = [first.member(code) for code in ("points", "lazy", "coins") for _ in range(3)]
        crowd = Crowd([first, second], members)
        crowd.chance = random.Random(5)
        stop = asyncio.Event()

        async def watch():
            rounds = 0
            while not stop.is_set():
                await second.balances(*members)
                assert await office.examine(*members) == []
                assert await office.checker._truth.tallies(whole=True) == []
                rounds += 1
            return rounds

        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch())
            for _ in range(25):
                await asyncio.gather(*(crowd.act() for _ in range(24)))
            stop.set()
        assert watcher.result() > 10


async def test_the_command_checks_everything(database, valkey, tmp_path):
    """Exit code 0 for honest books; 1 and the account for others, wherever the fault is."""
    made = await database("ledger")
    file = tmp_path / "tessera.yaml"
    section = {
        "server": {"port": 0, "metrics_port": 0},
        "database": {name: str(value) for name, value in made.fields().items()},
        "hotstore": {"url": valkey.url},
    }
    file.write_text(yaml.safe_dump({"ledger": section}))
    async with running(made, valkey.url, **QUIET) as ledger:
        await ledger.asset("coins")
        anna = ledger.member("coins")
        await ledger.post(move(world("coins"), anna, 5), move(anna, world("coins", "x"), 2))

        async def run(*options):
            command = ["check", "--config", str(file), *options]
            return await asyncio.to_thread(CliRunner().invoke, app, command)

        for options in ((), ("--all",)):
            done = await run(*options)
            assert (done.exit_code, "The books agree." in done.output) == (0, True)
            assert "[info" not in done.output
        owner = await chassis_database.connect_owner(made.settings())
        await owner.execute("UPDATE accounts SET balance = 4 WHERE balance = 3")
        done = await run("--all")
        assert done.exit_code == 1
        assert f"entries: {key_of(anna).id}: holds 4 at version 2" in done.output
        assert "sum: everybody: all accounts of coins together hold 1" in done.output
        await owner.close()
