"""Series of coupons and their codes: what is known of them besides the uses that are left."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database

_COLUMNS = """series_id, campaign_id, asset_code, code_count, uses, shared_coupon_id, next_number,
    issued_count, revoked_number, revoked_count, create_time, revoke_time, key_number"""
_INSERT = """
INSERT INTO coupon_series (
    series_id, campaign_id, asset_code, code_count, uses, shared_coupon_id, next_number,
    issued_count, revoked_number, revoked_count, create_time, key_number
)
VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, $7, $8)
ON CONFLICT (series_id) DO NOTHING
"""
_SELECT = f"SELECT {_COLUMNS} FROM coupon_series WHERE series_id = $1"  # noqa: S608  constants only
# The same codes may come again; one that another series has stays that one's.
_INSERT_CODES = """
INSERT INTO coupons (coupon_id, series_id, number)
SELECT coupon_id, $1, number
FROM unnest($2::UUID[], $3::INTEGER[]) AS made (coupon_id, number)
ORDER BY coupon_id
ON CONFLICT DO NOTHING
"""
# A series of one code, which counts as issued: whoever asked for it fills it.
_DRAW = """
WITH drawn AS (
    INSERT INTO coupons (coupon_id, series_id, number)
    VALUES ($7, $1, 0)
    ON CONFLICT DO NOTHING
    RETURNING series_id
)
INSERT INTO coupon_series (
    series_id, campaign_id, asset_code, code_count, uses, next_number, issued_count,
    revoked_number, revoked_count, create_time, key_number
)
SELECT series_id, $2, $3, 1, $4, 1, 1, 0, 0, $5, $6 FROM drawn
ON CONFLICT (series_id) DO NOTHING
"""
_NUMBERED = """
SELECT number, coupon_id
FROM coupons
WHERE series_id = $1 AND number >= $2 AND number < $3
ORDER BY number
LIMIT $4
"""
# Whoever does the same at the same time has counted it.
_ISSUED = f"""
UPDATE coupon_series
SET next_number = $3, issued_count = issued_count + $4
WHERE series_id = $1 AND next_number = $2
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only
_REVOKE = f"""
UPDATE coupon_series
SET revoke_time = COALESCE(revoke_time, $2)
WHERE series_id = $1
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only
_REVOKED = f"""
UPDATE coupon_series
SET revoked_number = $3, revoked_count = revoked_count + $4
WHERE series_id = $1 AND revoked_number = $2
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only
_COUPON = """
SELECT coupons.coupon_id, coupons.series_id, coupon_series.campaign_id, coupon_series.asset_code,
    COALESCE(coupons.revoke_time, coupon_series.revoke_time) AS revoke_time
FROM coupons
JOIN coupon_series ON coupon_series.series_id = coupons.series_id
WHERE coupons.coupon_id = $1
"""
_REVOKE_COUPON = """
UPDATE coupons
SET revoke_time = COALESCE(revoke_time, $2)
WHERE coupon_id = $1
RETURNING revoke_time
"""


class Series(NamedTuple):
    """Codes that are good for the same, and how far they are."""

    id: UUID
    campaign_id: str
    asset_code: str
    code_count: int
    uses: int
    shared_coupon_id: UUID | None
    next_number: int
    issued_count: int
    revoked_number: int
    revoked_count: int
    created_at: datetime
    revoked_at: datetime | None
    key_number: int


class Coupon(NamedTuple):
    """A code, without its uses; `revoked_at` is its own or its series'."""

    id: UUID
    series_id: UUID
    campaign_id: str
    asset_code: str
    revoked_at: datetime | None


class Numbered(NamedTuple):
    """A code by its number in the series."""

    number: int
    coupon_id: UUID


class Coupons:
    """Keeps series and codes."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def create(self, series: Series) -> Series:
        """Keep a new series; returns the one that has its id, which may be an earlier one."""
        await self._source.execute(_INSERT, *series[:6], series.created_at, series.key_number)
        found = await self.get(series.id)
        assert found is not None
        return found

    async def get(self, series_id: UUID) -> Series | None:
        """Return a series, None when there is none."""
        return _series(await self._source.fetchrow(_SELECT, series_id))

    async def add(self, series_id: UUID, codes: Sequence[Numbered]) -> None:
        """Make codes that are not there yet."""
        numbers, coupon_ids = zip(*codes, strict=True)
        await self._source.execute(_INSERT_CODES, series_id, coupon_ids, numbers)

    async def draw(self, series: Series, coupon_id: UUID) -> None:
        """Keep a series of one code with it, unless either is there already."""
        told = series.id, series.campaign_id, series.asset_code, series.uses, series.created_at
        await self._source.execute(_DRAW, *told, series.key_number, coupon_id)

    async def numbered(
        self, series_id: UUID, *, first: int, end: int, limit: int
    ) -> list[Numbered]:
        """Return the codes of a series with numbers from `first` to before `end`."""
        rows = await self._source.fetch(_NUMBERED, series_id, first, end, limit)
        return [Numbered(*row) for row in rows]

    async def note_issued(self, series: Series, *, next_number: int, count: int) -> Series:
        """Note how far issuing is; returns the series as it is now."""
        arguments = series.id, series.next_number, next_number, count
        return _series(await self._source.fetchrow(_ISSUED, *arguments)) or await self._now(series)

    async def revoke(self, series_id: UUID, *, at: datetime) -> Series | None:
        """Make a series revoked, once; None when there is none."""
        return _series(await self._source.fetchrow(_REVOKE, series_id, at))

    async def note_revoked(self, series: Series, *, next_number: int, count: int) -> Series:
        """Note how far revoking is; returns the series as it is now."""
        arguments = series.id, series.revoked_number, next_number, count
        return _series(await self._source.fetchrow(_REVOKED, *arguments)) or await self._now(series)

    async def coupon(self, coupon_id: UUID) -> Coupon | None:
        """Return a code, None when there is none."""
        row = await self._source.fetchrow(_COUPON, coupon_id)
        return None if row is None else Coupon(*row)

    async def revoke_coupon(self, coupon_id: UUID, *, at: datetime) -> datetime:
        """Make a code revoked, once; returns since when it is."""
        since: datetime = await self._source.fetchval(_REVOKE_COUPON, coupon_id, at)
        return since

    async def _now(self, series: Series) -> Series:
        found = await self.get(series.id)
        assert found is not None
        return found


def _series(row: database.Record | None) -> Series | None:
    return None if row is None else Series(*row)
