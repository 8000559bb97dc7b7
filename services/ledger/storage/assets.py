"""Assets, which never change once they are made and are therefore kept in memory."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from services.chassis import database
from services.ledger import engine

_COLUMNS = "asset_code, scale, floor, ceiling, lot_policy, create_time, accounts_opened_explicitly"
_INSERT = f"""
INSERT INTO assets ({_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (asset_code) DO NOTHING
"""  # noqa: S608  constants only
_SELECT = f"SELECT {_COLUMNS} FROM assets WHERE asset_code = ANY($1::TEXT[])"  # noqa: S608  constants only
_LIST = f"SELECT {_COLUMNS} FROM assets WHERE asset_code > $1 ORDER BY asset_code LIMIT $2"  # noqa: S608  constants only


class Assets:
    """All assets, each read once."""

    def __init__(self, source: database.Database) -> None:
        self._source = source
        self._known: dict[str, engine.Asset] = {}

    async def get(self, codes: Iterable[str]) -> Mapping[str, engine.Asset]:
        """Return at least the assets of these codes that exist."""
        missing = [code for code in codes if code not in self._known]
        if missing:
            for row in await self._source.fetch(_SELECT, missing):
                asset = _asset(row)
                self._known[asset.code] = asset
        return self._known

    async def create(self, asset: engine.Asset) -> engine.Asset:
        """Keep a new asset; returns the one that has its code, which may be an earlier one."""
        policy = None if asset.lots is None else json.dumps(_document(asset.lots))
        await self._source.execute(
            _INSERT,
            asset.code,
            asset.scale,
            asset.floor,
            asset.ceiling,
            policy,
            asset.created_at,
            asset.opened_explicitly,
        )
        return (await self.get([asset.code]))[asset.code]

    async def list(self, *, after: str, limit: int) -> list[engine.Asset]:
        """Return assets by code."""
        return [_asset(row) for row in await self._source.fetch(_LIST, after, limit)]


def _asset(row: database.Record) -> engine.Asset:
    code, scale, floor, ceiling, policy, created_at, opened_explicitly = row
    lots = None if policy is None else _policy(json.loads(policy))
    return engine.Asset(code, scale, floor, ceiling, lots, created_at, opened_explicitly)


def _document(policy: engine.LotPolicy) -> dict[str, Any]:
    document: dict[str, Any] = {
        "pending_days": policy.pending_days,
        "time_zone": policy.time_zone,
        "refund_grace_days": policy.refund_grace_days,
    }
    match policy.expiry:
        case engine.Rolling(months, days, rounding):
            document["rolling"] = {"months": months, "days": days, "rounding": rounding.name}
        case engine.Calendar(marked, minimum_days):
            document["calendar"] = {"days": marked, "minimum_days": minimum_days}
        case engine.Sliding(days):
            document["sliding"] = {"days": days}
    return document


def _policy(document: dict[str, Any]) -> engine.LotPolicy:
    expiry: engine.Rolling | engine.Calendar | engine.Sliding | None = None
    if rolling := document.get("rolling"):
        rounding = engine.Rounding[rolling["rounding"]]
        expiry = engine.Rolling(rolling["months"], rolling["days"], rounding)
    elif marked := document.get("calendar"):
        days = tuple((month, day) for month, day in marked["days"])
        expiry = engine.Calendar(days, marked["minimum_days"])
    elif sliding := document.get("sliding"):
        expiry = engine.Sliding(sliding["days"])
    # Policies that are older than the grace have none.
    grace_days = document.get("refund_grace_days", 0)
    return engine.LotPolicy(document["pending_days"], expiry, document["time_zone"], grace_days)
