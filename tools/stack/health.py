"""Ask each process of a stack whether it can do its work."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc.aio
from aiohttp import ClientError, ClientSession, ClientTimeout
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tools.stack import ports, postgres, valkey
from tools.stack.state import State
from tools.stack.vault import Vault

_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Health:
    """The questions for the processes of one stack."""

    state: State
    vault: Vault

    async def of(self, name: str) -> bool:
        """Tell whether one process is ready: each is asked in its own language."""
        if name == "postgres":
            return await postgres.is_ready(self.postgres())
        if name == "valkey":
            return await valkey.is_ready(self.valkey())
        if name == "gateway":
            return await _http_answers(f"http://{self.state.address(name)}/healthz")
        if name == "identity" and not await self._publishes_keys():
            return False
        return await _grpc_serves(self.state.address(name))

    async def of_all(self) -> dict[str, bool]:
        """Ask every process at once."""
        names = list(self.state.programs)
        return dict(zip(names, await asyncio.gather(*map(self.of, names)), strict=True))

    async def _publishes_keys(self) -> bool:
        url = f"http://{self.state.address('identity_http')}/.well-known/jwks.json"
        return await _http_answers(url)

    def postgres(self) -> postgres.Endpoint:
        """Return the embedded PostgreSQL and its administrator."""
        return postgres.Endpoint(
            host=ports.HOST,
            port=self.state.ports["postgres"],
            user=postgres.SUPERUSER,
            password=self.vault.read("postgres-administrator"),
        )

    def valkey(self) -> valkey.Endpoint:
        """Return the embedded Valkey."""
        return valkey.endpoint(port=self.state.ports["valkey"], password=self.vault.read("valkey"))


async def _grpc_serves(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know blocking calls alone
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _http_answers(url: str) -> bool:
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=_TIMEOUT_S)) as session,
            session.get(url) as response,
        ):
            return response.status < 300
    except (ClientError, OSError, TimeoutError):
        return False
