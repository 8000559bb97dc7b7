"""`python -m tools ledger check`: the books held against each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated
from uuid import UUID, uuid4

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from services.chassis import database, hotstore
from services.ledger.checker import Examiner
from services.ledger.config import Settings
from services.ledger.storage import Checks, Copies, Finding
from tools.ledger import installation

#: How many accounts are looked at unless it is to be all.
_SAMPLE = 1_000
_PAGE = 250
_BLOCKS = 100
_ENTRIES_MAX = 1_000
_EVERY_ENTRY = 2**31
_FIRST, _END = UUID(int=0), 2**63 - 1
#: Sums over everything take their time.
_STATEMENT_S_MAX = 3_600

_console = Console(soft_wrap=True)


def check(
    config: installation.Config = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Check every account and every movement there ever was.")
    ] = False,
) -> None:
    """Check that accounts, entries, transfers, lots, tallies and copies in Valkey agree.

    The ledger may be at work meanwhile. Findings name the kind and the account (or the batch) by
    id; any finding ends with 1.
    """
    settings = installation.settings(config)
    with Progress(console=_console) as progress:
        findings = asyncio.run(_check(settings, progress, everything=everything))
    for finding in findings:
        line = f"{finding.kind}: {finding.subject_id or 'everybody'}: {finding.detail}"
        _console.print(escape(line), highlight=False)
    if findings:
        _console.print(f"[red]The books contradict themselves: {len(findings)} findings.[/red]")
        raise typer.Exit(1)
    _console.print("The books agree.")


async def _check(settings: Settings, progress: Progress, *, everything: bool) -> list[Finding]:
    patient = settings.database.model_copy(update={"statement_s_max": _STATEMENT_S_MAX})
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(database.Database.open(patient))
        hot = await stack.enter_async_context(hotstore.Hotstore.open(settings.hotstore))
        truth = Checks(source)
        examiner = Examiner(truth, Copies(hot))
        walk = _all(truth, examiner, progress) if everything else _some(truth, examiner, progress)
        # What is found twice, from the account and from its movement, is told once.
        return list(dict.fromkeys([finding async for found in walk for finding in found]))


async def _some(
    truth: Checks, examiner: Examiner, progress: Progress
) -> AsyncIterator[list[Finding]]:
    task = progress.add_task("accounts", total=_SAMPLE)
    for _ in range(0, _SAMPLE, _PAGE):
        keys = await truth.page(after=uuid4(), limit=_PAGE)
        yield await examiner.examine(keys, entries_max=_ENTRIES_MAX)
        progress.advance(task, _PAGE)
    yield await truth.tallies(whole=False)


async def _all(
    truth: Checks, examiner: Examiner, progress: Progress
) -> AsyncIterator[list[Finding]]:
    task = progress.add_task("accounts", total=await truth.count())
    after = _FIRST
    while keys := await truth.page(after=after, limit=_PAGE):
        yield await examiner.examine(keys, entries_max=_EVERY_ENTRY)
        after = keys[-1].id
        progress.advance(task, len(keys))
    task = progress.add_task("movements", total=await truth.next_audit(start=0, blocks=_END) or 1)
    start = 0
    while (end := await truth.next_audit(start=start, blocks=_BLOCKS)) is not None:
        yield await truth.evidence(start=start, end=end)
        progress.update(task, completed=end)
        start = end
    yield await truth.evidence(start=start, end=_END)
    progress.update(task, completed=start or 1)
    task = progress.add_task("sums", total=2)
    yield await truth.tallies(whole=True)
    progress.advance(task)
    yield await truth.sums()
    progress.advance(task)
