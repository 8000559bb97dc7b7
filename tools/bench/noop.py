"""The no-op method: the most that grpc.aio with uvloop can do on this machine."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import uvloop

from tools.bench import load

_METHOD = "/tessera.bench.v1.NoopService/Noop"


async def _answer(request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def _serve() -> None:
    server = grpc.aio.server()
    service, method = _METHOD.strip("/").split("/")
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


@asynccontextmanager
async def running() -> AsyncIterator[str]:
    """Run the no-op server in a process of its own; yields its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.bench.noop", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()


def subject(channel: grpc.aio.Channel, in_flight: int) -> load.Subject:
    """Return the no-op call with 100 bytes each way."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
    payload = b"x" * 100

    async def call() -> None:
        await method(payload)

    return load.Subject("no-op RPC", call, in_flight)


if __name__ == "__main__":
    uvloop.run(_serve())
