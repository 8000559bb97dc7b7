"""`python -m tools ledger verify`: the journal held against its integrity chain."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from services.chassis import database
from services.ledger.config import Settings
from services.ledger.engine import journal
from services.ledger.engine.journal import Block
from services.ledger.storage import Journal, evidence
from tools.ledger import installation

_console = Console(soft_wrap=True)


@dataclass(frozen=True)
class Anchor:
    """The head of a chain as it once was, to be kept where the database's owner cannot write."""

    block: int
    root: str
    time: str

    @classmethod
    def of(cls, head: Block) -> Self:
        """Return the anchor of a block, as of now."""
        return cls(head.number, head.root.hex(), datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read an anchor; raises ValueError when the file holds none."""
        try:
            anchor = cls(**json.loads(file.read_text(encoding="utf-8")))
            bytes.fromhex(anchor.root)
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"{file} holds no anchor: {error}") from None
        return anchor

    def write(self, file: Path) -> None:
        """Write an anchor, whole or not at all."""
        partial = file.with_name(f"{file.name}.partial")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.rename(file)


def verify(
    config: installation.Config = None,
    anchor: Annotated[
        list[Path] | None,
        typer.Option(help="Hold the chain against an anchor exported before; may be repeated."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the head of a chain that holds to this file.")
    ] = None,
    after: Annotated[
        int, typer.Option(min=0, help="Trust the chain up to this block and begin behind it.")
    ] = 0,
) -> None:
    """Verify that no row of the journal was changed, removed, inserted or moved.

    Every block is computed again from the rows that it covers. Findings name the block, the batch
    and the row; any finding ends with 1. A chain that was rewritten as a whole is consistent: only
    an anchor tells, so export one regularly to a place of its own.
    """
    settings = installation.settings(config)
    try:
        anchors = [Anchor.read(file) for file in anchor or ()]
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--anchor") from None
    with Progress(console=_console) as progress:
        findings, head = asyncio.run(_verify(settings, anchors, after, progress))
    for finding in findings:
        _console.print(escape(finding), highlight=False)
    if findings:
        _console.print(f"[red]The journal does not hold: {len(findings)} findings.[/red]")
        raise typer.Exit(1)
    if head is None:
        _console.print("Nothing has been chained yet.")
        return
    _console.print(f"The journal holds up to block {head.number}, root {head.root.hex()}.")
    if export is not None:
        Anchor.of(head).write(export)


async def _verify(
    settings: Settings, anchors: list[Anchor], after: int, progress: Progress
) -> tuple[list[str], Block | None]:
    async with _opened(settings) as source:
        verification = Verification(source, Journal())
        head = await verification.head()
        task = progress.add_task("blocks", total=max((head.number if head else 0) - after, 0))
        async for _ in verification.run(anchors, after=after, head=head):
            progress.advance(task)
    return verification.findings, head


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[database.Database]:
    async with database.Database.open(
        settings.database, session={"enable_seqscan": "off"}
    ) as source:
        yield source


class Verification:
    """One walk along the chain; `findings` are sentences, none for an honest journal."""

    def __init__(self, source: database.Queryable, blocks: Journal) -> None:
        self._source = source
        self._journal = blocks
        self.findings: list[str] = []

    async def head(self) -> Block | None:
        """Return the last block."""
        return await self._journal.head(self._source)

    async def run(
        self, anchors: list[Anchor], *, after: int, head: Block | None
    ) -> AsyncIterator[Block]:
        """Verify the blocks behind `after` up to `head`, yielding each when it is done."""
        roots = {anchor.block: anchor.root for anchor in anchors}
        until = head.number if head else 0
        if after > until:
            self.findings.append(f"block {after}: trusted, but the chain ends at block {until}")
        previous: Block | None = None
        async for block in self._journal.blocks(self._source, after=max(after - 1, 0), until=until):
            if block.number > after or not after:
                await self._verify(block, previous)
            if block.root.hex() != roots.pop(block.number, block.root.hex()):
                self.findings.append(f"block {block.number}: another root than in the anchor")
            previous = block
            if block.number > after:
                yield block
        for number in roots:
            if number > max(after - 1, 0):
                self.findings.append(f"block {number}: in the anchor, but not in the chain")

    async def _verify(self, block: Block, previous: Block | None) -> None:
        newer_start = journal.newer_start(previous, end=block.end, form=block.format)
        units = await self._journal.units(
            self._source, start=block.start, end=block.end, newer_start=newer_start
        )
        if journal.is_honest(block, previous, units):
            return
        lines = [
            line
            for difference in journal.differences(block, units)
            for line in await self._describe(block, difference, newer_start)
        ]
        self.findings += lines or [
            f"block {block.number}: does not follow from what it covers and the block before it"
        ]

    async def _describe(
        self, block: Block, difference: journal.Difference, newer_start: int
    ) -> list[str]:
        kind = difference.kind
        owner = await self._journal.owner(self._source, kind, difference.unit_id)
        where, table = f"block {block.number}, {owner}", evidence.name(kind)
        start = newer_start if kind in journal.NEWER else block.start
        names = await self._journal.names(self._source, difference, start=start, end=block.end)
        changed = min(difference.missing, len(names))
        lines = [f"{where}: {table}, {name}: was changed" for name in names[:changed]]
        lines += [f"{where}: {table}, {name}: was inserted" for name in names[changed:]]
        removed = difference.missing - changed
        return lines + [f"{where}: {table}: a row was removed"] * removed
