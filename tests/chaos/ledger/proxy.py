"""A wire between a till and a ledger that can lose replies."""

import asyncio
from contextlib import suppress

from tools.stack import ports


class Proxy:
    """Forwards a port; while `losing` is set, what the server says is lost and the line is cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.losing = False
        self.lost = 0
        self.port = ports.free()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connect, ports.HOST, self.port)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection(ports.HOST, self._target)
            there = asyncio.create_task(self._carry(reader, far_writer, may_lose=False))
            back = asyncio.create_task(self._carry(far_reader, writer, may_lose=True))
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
            for one in (there, back):
                one.cancel()
            far_writer.close()
        writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_lose: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if may_lose and self.losing and len(data) > _SMALL:
                    self.lost += 1
                    return
                writer.write(data)
                await writer.drain()


#: Replies are longer than what two ends of a line tell each other about the line itself.
_SMALL = 100
