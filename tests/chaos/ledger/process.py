"""A ledger that can be told when to die: `python -m tests.chaos.ledger.process --config FILE`.

The product has no switch for this; here its parts are wrapped before it starts. `TESSERA_DIE_AT` is
`POINT:N`: the process kills itself when it comes to the point for the N-th time. Without it, and
with `TESSERA_CLOCK` unset, this is the ledger as it is, for callers without a token.
"""

import argparse
import asyncio
import os
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop

from services.chassis import config, database, hotstore, telemetry
from services.ledger import main as ledger
from services.ledger.balances import Balances
from services.ledger.config import Settings
from services.ledger.storage import Postings

POINTS = (
    "before it writes",
    "inside the transaction",
    "after the commit, before balances are shown",
    "after balances are shown, before the reply",
    "after the reply, before balances are shown",
)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Fuse:
    """Counts down to the end."""

    def __init__(self, point: str, count: int) -> None:
        self.point = point
        self._count = count

    def burns_out(self, point: str) -> bool:
        """Tell whether it is time, at this point."""
        self._count -= point == self.point
        return point == self.point and self._count <= 0


def _wire(fuse: _Fuse) -> None:
    """Put the fuse where batches are written and balances are shown."""
    before, inside, committed, shown, replied = POINTS
    write, publish = Postings.write, Balances.publish

    async def deadly_write(self: Any, *arguments: Any, source: Any, **named: Any) -> None:
        if fuse.burns_out(before):
            _die()
        if fuse.burns_out(inside):
            async with self.round(with_locks=True) as own:
                await write(self, *arguments, source=own, **named)
                _die()
        await write(self, *arguments, source=source, **named)

    async def deadly_publish(self: Any, balances: Any) -> None:
        if fuse.burns_out(committed):
            _die()
        if fuse.burns_out(replied):
            # The answer leaves at once, and the process soon after it.
            asyncio.get_running_loop().call_later(0.05, _die)
            return
        await publish(self, balances)
        if fuse.burns_out(shown):
            _die()

    Postings.write = deadly_write  # type: ignore[method-assign]
    Balances.publish = deadly_publish  # type: ignore[method-assign]


class _Clock:
    """The time of day and as many seconds more as a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(self._file.read_text()))


async def _serve(settings: Settings) -> None:
    clock_file = os.environ.get("TESSERA_CLOCK")
    clocks = {"now": _Clock(Path(clock_file))} if clock_file else {}
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(
            database.Database.open(settings.database, session=ledger.SESSION)
        )
        hot = await stack.enter_async_context(hotstore.Hotstore.open(settings.hotstore))
        await ledger.build(settings, db, hot, None, **clocks).serve()


def main() -> None:
    """Serve until told to stop, or until the fuse burns out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    settings = config.load(Settings, "ledger", parser.parse_args().config)
    telemetry.setup("ledger", settings.telemetry)
    if fate := os.environ.get("TESSERA_DIE_AT"):
        point, _, count = fate.rpartition(":")
        _wire(_Fuse(point, int(count)))
    uvloop.run(_serve(settings))


if __name__ == "__main__":
    main()
