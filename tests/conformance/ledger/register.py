"""Which case is proven by what, and where we decided otherwise.

A case of ours is a coroutine that plays `given` and `when` of a case and asserts `then`; where our
answer differs, it asserts ours, and a policy says why.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tessera.ledger.v1 import error_reason_pb2, ledger_service_pb2

from services.chassis import status
from services.ledger import engine
from tests.integration.ledger.conftest import Ledger

Play = Callable[[Any], Awaitable[None]]

FILES = ("ledger.json", "ledger_own.json")
CASES: list[dict[str, str]] = [
    case
    for name in FILES
    for case in json.loads((Path(__file__).parent.parent / name).read_text(encoding="utf-8"))
]
PLAYS: dict[str, Play] = {}


def case(*case_ids: str) -> Callable[[Play], Play]:
    """Say which cases a coroutine plays."""

    def register(play: Play) -> Play:
        for case_id in case_ids:
            assert case_id not in PLAYS, f"{case_id} is played twice"
            PLAYS[case_id] = play
        return play

    return register


@dataclass(frozen=True)
class Policy:
    """A decision of ours that some cases meet, and why."""

    rule: str
    why: str
    cases: frozenset[str]


@dataclass(frozen=True)
class Bank:
    """What a case is played with: a ledger, its database and its Valkey, and more of both."""

    ledger: Ledger
    made: Any
    valkey: Any
    new_database: Any
    folder: Path


def reason(result: Any) -> str:
    """Return the reason of a refusal without its prefix, empty for a posted batch."""
    if not result.HasField("refusal"):
        return ""
    name: str = error_reason_pb2.ErrorReason.Name(result.refusal.reason)
    return name.removeprefix("ERROR_REASON_")


def key_of(account: Any) -> engine.Key:
    """Return an account as the engine names it."""
    return engine.key(account.asset_code, account.owner.owner_type, account.owner.owner_id)


async def available(ledger: Ledger, *accounts: Any) -> list[int]:
    """Return what may be spent from accounts."""
    return [one.available for one in await ledger.balances(*accounts)]


async def lots(ledger: Ledger, account: Any) -> list[Any]:
    """Return the lots of an account that have something left, in the order of spending."""
    request = ledger_service_pb2.ListLotsRequest(account=account)
    return list((await ledger.stub.ListLots(request)).lots)


async def refusal(call: Awaitable[Any]) -> Any:
    """Return what a call is refused with, as a status with `reason` and `metadata`."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return status.read(caught.value)


@contextmanager
def turned(ledger: Ledger) -> Iterator[Callable[..., None]]:
    """Let a case turn the clock: `turn(days=…)` ahead of the present."""

    def turn(**span: float) -> None:
        ledger.now.ahead = timedelta(**span)

    try:
        yield turn
    finally:
        turn()
