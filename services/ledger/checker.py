"""Checks the books all the time: Valkey against PostgreSQL against entries, transfers and lots."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter, Gauge

from services.chassis import clock, database, hotstore, tasks
from services.ledger import engine
from services.ledger.storage import Checks, Copies, Finding, checks, copies

MISMATCHES = Counter("ledger_mismatches", "Contradictions found in the books", ["kind"])
OPEN = Gauge("ledger_mismatches_open", "Accounts and batches that contradict themselves now")
CHECKED = Counter("ledger_accounts_checked", "Accounts that were checked")

#: How many accounts a round draws by lot, and how many of those that were just written.
_DRAWN, _BUSY = 25, 15
#: How many suspects a round looks at again.
_SUSPECTS = 50
#: More entries of one account are not looked at; `python -m tools ledger check --all` does.
_ENTRIES_MAX = 1_000
#: How many blocks of the journal a round holds against each other.
_BLOCKS = 20
#: Clocks of two processes may differ by as much.
_SKEW = timedelta(minutes=1)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_NEWS = "the books contradict themselves"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stale:
    """A copy that was older than its account when it was seen at `seen_s` of the loop's clock."""

    version: int
    seen_s: float


class Examiner:
    """Holds accounts against everything that is known about them."""

    def __init__(self, truth: Checks, held: Copies, *, now: clock.Clock = clock.system) -> None:
        self._truth = truth
        self._copies = held
        self._now = now
        self.stale: dict[UUID, Stale] = {}

    async def examine(self, keys: Sequence[engine.Key], *, entries_max: int) -> list[Finding]:
        """Return what contradicts itself on accounts of which each is given once."""
        if not keys:
            return []
        shown = await self._shown(keys)  # before the truth: a copy is never ahead of it
        debts = {
            key.id: engine.debt_key(key)
            for key in keys
            if not key.is_world and key.owner_type != engine.DEBT
        }
        everybody = list({key.id: key for key in (*keys, *debts.values())}.values())
        extract = await self._truth.extract(everybody, entries_max=entries_max)
        now = self._now()
        findings = list(extract.findings)
        for account in extract.accounts.values():
            findings += _summary(account, now)
            if account.key.id in debts:
                findings += _debt(account, extract.accounts.get(debts[account.key.id].id))
        for key, copy in shown.items():
            account_or_none = extract.accounts.get(key.id)
            if account_or_none is not None:
                findings += self._compare(key, copy, account_or_none, now)
        return findings

    async def _shown(self, keys: Sequence[engine.Key]) -> Mapping[engine.Key, bytes | None]:
        try:
            return dict(zip(keys, await self._copies.get(keys), strict=True))
        except hotstore.FAILURES:
            return {}

    def _compare(
        self, key: engine.Key, copy: bytes | None, account: engine.Account, now: datetime
    ) -> list[Finding]:
        shown = copies.decode(key, copy, now=now, version_min=0)
        if shown is None or shown.version == account.version:
            self.stale.pop(key.id, None)
        if shown is None:
            return []
        if shown.version > account.version:
            detail = f"version {shown.version} is shown, {account.version} is true"
            return [Finding("copy", key.id, detail)]
        if shown.version < account.version:
            return self._outlived(key, shown.version)
        true = engine.balance_at(account, now)
        if shown == true or _is_about_to_change(account, true, now):
            return []
        return [Finding("copy", key.id, f"{_amounts(shown)} is shown, {_amounts(true)} is true")]

    def _outlived(self, key: engine.Key, version: int) -> list[Finding]:
        """Remember an old copy; it is wrong only when it is still there after a copy's life."""
        present_s = asyncio.get_running_loop().time()
        before = self.stale.get(key.id)
        if before is None or before.version != version:
            self.stale[key.id] = Stale(version, present_s)
        elif present_s - before.seen_s > copies.LIFE_S:
            return [Finding("copy_stale", key.id, f"version {version} is shown for too long")]
        return []


class Checker:
    """Checks a few accounts again and again, of all processes one at a time."""

    def __init__(
        self,
        source: database.Database,
        truth: Checks,
        examiner: Examiner,
        *,
        interval_s: float,
    ) -> None:
        self._source = source
        self._truth = truth
        self._examiner = examiner
        self._interval_s = interval_s
        self._known: set[tuple[str, UUID | None]] = set()
        for kind in checks.KINDS:
            MISMATCHES.labels(kind)

    async def run(self) -> None:
        """Check until cancelled; outages are waited out."""
        await tasks.alone(
            self._source, "ledger checker", lambda _: self.check(), interval_s=self._interval_s
        )

    async def check(self) -> list[Finding]:
        """Check the next few accounts and transactions; return what is wrong with them."""
        keys = await self._draw()
        findings = await self._examiner.examine(keys, entries_max=_ENTRIES_MAX)
        CHECKED.inc(len(keys))
        seen = {key.id for key in keys}
        start = await self._truth.audited()
        end = await self._truth.next_audit(start=start, blocks=_BLOCKS)
        if end is None:
            findings += await self._truth.tallies(whole=False)
            seen |= {subject for kind, subject in self._known if kind == "tallies" and subject}
        else:
            findings += await self._truth.evidence(start=start, end=end)
            await self._truth.audit(start=start, end=end)
        self._tell(findings, seen)
        return findings

    async def _draw(self) -> list[engine.Key]:
        """Choose accounts: suspects, some that were just written, and some by lot."""
        suspects = [*self._examiner.stale, *(one for _, one in self._known if one)][:_SUSPECTS]
        keys = await self._truth.named(suspects)
        keys += await self._truth.busy(limit=_BUSY)
        keys += await self._truth.page(after=uuid4(), limit=_DRAWN)
        return list({key.id: key for key in keys}.values())

    def _tell(self, findings: Iterable[Finding], seen: set[UUID]) -> None:
        """Count and log what is new; forget what is right again."""
        known = self._known
        self._known = {one for one in known if one[1] not in seen}
        for finding in findings:
            self._known.add((finding.kind, finding.subject_id))
            if (finding.kind, finding.subject_id) not in known:
                MISMATCHES.labels(finding.kind).inc()
                subject = str(finding.subject_id)
                log.error(_NEWS, kind=finding.kind, subject=subject, detail=finding.detail)
        OPEN.set(len(self._known))


def _summary(account: engine.Account, now: datetime) -> list[Finding]:
    """Hold the sums in an account's row against what it has, while they are meant to be right."""
    if engine.is_due(account, now):
        return []
    unsummed = account._replace(summary=account.summary._replace(next_event_at=_LONG_AGO))
    written, counted = engine.balance_at(account, now), engine.balance_at(unsummed, now)
    if account.key.is_world or not (account.lots or account.reserves) or written == counted:
        return []
    detail = f"{_amounts(written)} is written, {_amounts(counted)} is what it has"
    return [Finding("summary", account.key.id, detail)]


def _debt(account: engine.Account, debt: engine.Account | None) -> list[Finding]:
    """Hold what an account's row says is owed against the account of the debt."""
    owed = -debt.balance if debt is not None else 0
    if owed == account.debt:
        return []
    return [Finding("debts", account.key.id, f"{account.debt} is owed, by its own account {owed}")]


def _is_about_to_change(account: engine.Account, true: engine.Balance, now: datetime) -> bool:
    """Tell whether an event is so near that another clock may have it behind or before itself."""
    events = (account.summary.next_event_at, true.changes_at)
    return any(event is not None and abs(event - now) < _SKEW for event in events)


def _amounts(balance: engine.Balance) -> str:
    return f"{balance.available}, {balance.pending} pending and {balance.held} held"
