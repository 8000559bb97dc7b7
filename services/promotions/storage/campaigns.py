"""Campaigns, their codes, and the rule sets that they were live in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from services.chassis import database, ids

PREFIX = "cmp"

DRAFT = "DRAFT"
LIVE = "LIVE"
ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A row of `campaigns`; `rules` is a CampaignRules on the wire."""

    campaign_id: str
    version: int
    state: str
    rules: bytes
    create_time: datetime
    publish_time: datetime | None
    publish_ruleset_version: int | None
    end_ruleset_version: int | None

    @classmethod
    def of(cls, row: database.Record) -> Self:
        """Return a row as a value."""
        return cls(
            campaign_id=ids.show(PREFIX, row["campaign_id"]),
            version=row["version"],
            state=row["state"],
            rules=row["rules"],
            create_time=row["create_time"],
            publish_time=row["publish_time"],
            publish_ruleset_version=row["publish_ruleset_version"],
            end_ruleset_version=row["end_ruleset_version"],
        )


@dataclass(frozen=True, slots=True)
class Revision:
    """The rules that a campaign went live with."""

    campaign_id: str
    version: int
    rules: bytes


_CREATE = """
INSERT INTO campaigns (campaign_id, version, state, rules, create_time, request_id, request)
VALUES ($1, 1, 'DRAFT', $2, $3, $4, $5)
ON CONFLICT (request_id) DO NOTHING
RETURNING
    campaign_id, version, state, rules, create_time, publish_time, publish_ruleset_version,
    end_ruleset_version
"""


async def create(
    db: database.Queryable,
    *,
    campaign_id: str,
    rules: bytes,
    request_id: str,
    request: bytes,
    now: datetime,
) -> Campaign | None:
    """Write a draft; None when the request id was used before."""
    row = await db.fetchrow(
        _CREATE, ids.parse(PREFIX, campaign_id), rules, now, request_id, request
    )
    return None if row is None else Campaign.of(row)


_BY_REQUEST = """
SELECT
    campaign_id, version, state, rules, create_time, publish_time, publish_ruleset_version,
    end_ruleset_version, request
FROM campaigns
WHERE request_id = $1
"""


async def find_by_request(db: database.Queryable, request_id: str) -> tuple[Campaign, bytes]:
    """Return the campaign that a request made, and that request."""
    row = await db.fetchrow(_BY_REQUEST, request_id)
    assert row is not None
    return Campaign.of(row), row["request"]


_REPLACE_RULES = """
UPDATE campaigns
SET rules = $3, version = version + 1
WHERE campaign_id = $1 AND version = $2 AND state = 'DRAFT'
RETURNING
    campaign_id, version, state, rules, create_time, publish_time, publish_ruleset_version,
    end_ruleset_version
"""


async def replace_rules(
    db: database.Queryable, campaign_id: str, *, version: int, rules: bytes
) -> Campaign | None:
    """Replace the rules of a draft that is still at `version`; None when it is not."""
    row = await db.fetchrow(_REPLACE_RULES, ids.parse(PREFIX, campaign_id), version, rules)
    return None if row is None else Campaign.of(row)


_FIND = """
SELECT campaign_id, version, state, rules, create_time, publish_time, publish_ruleset_version,
    end_ruleset_version
FROM campaigns
WHERE campaign_id = $1
"""


async def find(db: database.Queryable, campaign_id: str) -> Campaign | None:
    """Return a campaign, or None."""
    row = await db.fetchrow(_FIND, ids.parse(PREFIX, campaign_id))
    return None if row is None else Campaign.of(row)


_LIST = """
SELECT campaign_id, version, state, rules, create_time, publish_time, publish_ruleset_version,
    end_ruleset_version
FROM campaigns
WHERE ($1::TEXT IS NULL OR state = $1) AND ($2::UUID IS NULL OR campaign_id < $2)
ORDER BY campaign_id DESC
LIMIT $3
"""


async def list_newest(
    db: database.Queryable, *, state: str | None, before: str | None, count_max: int
) -> list[Campaign]:
    """Return campaigns, newest first: their ids grow with time."""
    last = None if before is None else ids.parse(PREFIX, before)
    return [Campaign.of(row) for row in await db.fetch(_LIST, state, last, count_max)]


# Publishing -------------------------------------------------------------------------------------

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('promotions.publish'))"


async def lock_publishing(tx: database.Queryable) -> None:
    """Wait until nobody else makes a rule set, and keep it so until the transaction ends."""
    await tx.execute(_LOCK)


_SELECT_LOCKED = """
SELECT campaign_id, version, state, rules, create_time, publish_time, publish_ruleset_version,
    end_ruleset_version
FROM campaigns
WHERE campaign_id = ANY($1::UUID[])
ORDER BY campaign_id
FOR UPDATE
"""


async def lock(tx: database.Queryable, campaign_ids: Iterable[str]) -> dict[str, Campaign]:
    """Return those of the campaigns that exist, by id, locked."""
    wanted = [ids.parse(PREFIX, campaign_id) for campaign_id in campaign_ids]
    found = [Campaign.of(row) for row in await tx.fetch(_SELECT_LOCKED, wanted)]
    return {campaign.campaign_id: campaign for campaign in found}


_LIVE = """
SELECT campaign_id, version, rules FROM campaigns WHERE state = 'LIVE' ORDER BY campaign_id
"""


async def live(tx: database.Queryable) -> list[Revision]:
    """Return all live campaigns in the order of their ids."""
    return [_revision(row) for row in await tx.fetch(_LIVE)]


_ADD_CODES = """
INSERT INTO campaign_codes (code, campaign_id)
SELECT code, campaign_id FROM unnest($1::TEXT[], $2::UUID[]) AS sent (code, campaign_id)
"""
_TAKE_LIVE = """
UPDATE campaigns
SET state = 'LIVE', publish_time = $2, publish_ruleset_version = $3
WHERE campaign_id = ANY($1::UUID[])
"""
_ADD_REVISIONS = """
INSERT INTO campaign_revisions (campaign_id, version, rules)
SELECT campaign_id, version, rules FROM campaigns WHERE campaign_id = ANY($1::UUID[])
"""


async def take_live(
    tx: database.Queryable,
    campaign_ids: Sequence[str],
    *,
    codes: Sequence[tuple[str, str]],
    ruleset_version: int,
    now: datetime,
) -> None:
    """Turn drafts into live campaigns; `codes` are pairs of a code in capitals and a campaign."""
    wanted = [ids.parse(PREFIX, campaign_id) for campaign_id in campaign_ids]
    owners = [ids.parse(PREFIX, campaign_id) for _, campaign_id in codes]
    await tx.execute(_ADD_REVISIONS, wanted)
    await tx.execute(_ADD_CODES, [code for code, _ in codes], owners)
    await tx.execute(_TAKE_LIVE, wanted, now, ruleset_version)


_END = """
UPDATE campaigns SET state = 'ENDED', end_ruleset_version = $2 WHERE campaign_id = $1
"""
_FREE_CODES = "DELETE FROM campaign_codes WHERE campaign_id = $1"


async def end(tx: database.Queryable, campaign_id: str, *, ruleset_version: int) -> None:
    """Take a live campaign out for good; its codes may be used again."""
    await tx.execute(_END, ids.parse(PREFIX, campaign_id), ruleset_version)
    await tx.execute(_FREE_CODES, ids.parse(PREFIX, campaign_id))


_HEAD = "SELECT coalesce(max(version), 0) FROM rulesets"


async def ruleset_head(db: database.Queryable) -> int:
    """Return the version of the newest rule set; 0 before the first."""
    version: int = await db.fetchval(_HEAD)
    return version


_ADD_RULESET = """
INSERT INTO rulesets (version, campaign_ids, campaign_versions, create_time)
VALUES ($1, $2, $3, $4)
"""


async def add_ruleset(
    tx: database.Queryable, version: int, revisions: Sequence[Revision], *, now: datetime
) -> None:
    """Write a rule set."""
    await tx.execute(
        _ADD_RULESET,
        version,
        [ids.parse(PREFIX, revision.campaign_id) for revision in revisions],
        [revision.version for revision in revisions],
        now,
    )


_RULESET_EXISTS = "SELECT EXISTS (SELECT 1 FROM rulesets WHERE version = $1)"
_RULESET = """
SELECT revisions.campaign_id, revisions.version, revisions.rules
FROM rulesets
CROSS JOIN LATERAL
    unnest(campaign_ids, campaign_versions) AS held (campaign_id, campaign_version)
JOIN campaign_revisions AS revisions
    ON revisions.campaign_id = held.campaign_id AND revisions.version = held.campaign_version
WHERE rulesets.version = $1
ORDER BY revisions.campaign_id
"""


async def ruleset(db: database.Queryable, version: int) -> list[Revision] | None:
    """Return what a rule set holds, in the order of ids; None when there is no such version."""
    rows = await db.fetch(_RULESET, version)
    if not rows and not await db.fetchval(_RULESET_EXISTS, version):
        return None
    return [_revision(row) for row in rows]


_REVISIONS = """
SELECT revisions.campaign_id, revisions.version, revisions.rules
FROM unnest($1::UUID[], $2::BIGINT[]) AS wanted (campaign_id, version)
JOIN campaign_revisions AS revisions
    ON revisions.campaign_id = wanted.campaign_id AND revisions.version = wanted.version
ORDER BY revisions.campaign_id
"""


async def revisions(db: database.Queryable, wanted: Sequence[tuple[str, int]]) -> list[Revision]:
    """Return the rules of these campaigns at these versions."""
    campaign_ids = [ids.parse(PREFIX, campaign_id) for campaign_id, _ in wanted]
    rows = await db.fetch(_REVISIONS, campaign_ids, [version for _, version in wanted])
    return [_revision(row) for row in rows]


def _revision(row: database.Record) -> Revision:
    campaign_id: UUID = row["campaign_id"]
    return Revision(ids.show(PREFIX, campaign_id), row["version"], row["rules"])


# Grants -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant:
    """A stored request for coupons, and when it first came."""

    request: bytes
    create_time: datetime


_ADD_GRANT = """
INSERT INTO coupon_grants (request_id, campaign_id, request, create_time)
VALUES ($1, $2, $3, $4)
ON CONFLICT (request_id) DO NOTHING
"""


async def add_grant(
    db: database.Queryable, request_id: str, *, campaign_id: str, request: bytes, now: datetime
) -> Grant:
    """Note a request for coupons; return it as it was noted first."""
    await db.execute(_ADD_GRANT, request_id, ids.parse(PREFIX, campaign_id), request, now)
    grant = await find_grant(db, request_id)
    assert grant is not None
    return grant


_GRANT = "SELECT request, create_time FROM coupon_grants WHERE request_id = $1"


async def find_grant(db: database.Queryable, request_id: str) -> Grant | None:
    """Return a request for coupons, or None."""
    row = await db.fetchrow(_GRANT, request_id)
    return None if row is None else Grant(row["request"], row["create_time"])
