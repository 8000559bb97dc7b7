"""Campaigns, their versions and history, their codes, and the rule sets that they were live in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from services.chassis import database, ids
from services.promotions.storage.history import History

PREFIX = "cmp"

DRAFT = "DRAFT"
IN_REVIEW = "IN_REVIEW"
APPROVED = "APPROVED"
LIVE = "LIVE"
ENDED = "ENDED"
#: What the clock and a pause make of LIVE.
SCHEDULED = "SCHEDULED"
PAUSED = "PAUSED"


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
    key: str
    live_version: int
    paused: bool
    author_id: str
    start_time: datetime | None
    end_time: datetime | None
    is_template: bool
    template_id: str
    template_paused: bool
    local_terms: bytes

    @classmethod
    def of(cls, row: database.Record) -> Self:
        """Return a row as a value."""
        template_id: UUID | None = row["template_id"]
        return cls(
            campaign_id=ids.show(PREFIX, row["campaign_id"]),
            version=row["version"],
            state=row["state"],
            rules=row["rules"],
            create_time=row["create_time"],
            publish_time=row["publish_time"],
            publish_ruleset_version=row["publish_ruleset_version"],
            end_ruleset_version=row["end_ruleset_version"],
            key=row["campaign_key"] or "",
            live_version=row["live_version"] or 0,
            paused=row["paused"],
            author_id=row["author_id"],
            start_time=row["start_time"],
            end_time=row["end_time"],
            is_template=row["is_template"],
            template_id="" if template_id is None else ids.show(PREFIX, template_id),
            template_paused=row["template_paused"],
            local_terms=row["local_terms"] or b"",
        )

    def state_at(self, now: datetime) -> str:
        """Return the state as people see it: LIVE may wait for its period, be over, or paused."""
        if self.state != LIVE:
            return self.state
        if self.end_time is not None and self.end_time <= now:
            return ENDED
        if self.paused or self.template_paused:
            return PAUSED
        if self.start_time is not None and self.start_time > now:
            return SCHEDULED
        return LIVE


@dataclass(frozen=True, slots=True)
class Revision:
    """The rules of one version of a campaign."""

    campaign_id: str
    version: int
    rules: bytes


_COLUMNS = """
    campaign_id, version, state, rules, create_time, publish_time, publish_ruleset_version,
    end_ruleset_version, campaign_key, live_version, paused, author_id, start_time, end_time,
    is_template, template_id, template_paused, local_terms
"""

_CREATE = f"""
INSERT INTO campaigns (
    campaign_id, version, state, rules, create_time, request_id, request, campaign_key, author_id,
    template_id, local_terms
)
VALUES ($1, 1, 'DRAFT', $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only
_ADD_REVISION = """
INSERT INTO campaign_revisions (campaign_id, version, rules, author_id, create_time)
VALUES ($1, $2, $3, $4, $5)
"""


async def create(
    tx: database.Queryable,
    *,
    campaign_id: str,
    rules: bytes,
    request_id: str,
    request: bytes,
    key: str,
    author_id: str,
    now: datetime,
    template_id: str | None = None,
    local_terms: bytes | None = None,
) -> Campaign | None:
    """Write a draft; None when the request id was used before, or the key is taken."""
    number = ids.parse(PREFIX, campaign_id)
    template = None if template_id is None else ids.parse(PREFIX, template_id)
    row = await tx.fetchrow(
        _CREATE,
        number,
        rules,
        now,
        request_id,
        request,
        key or None,
        author_id,
        template,
        local_terms,
    )
    if row is None:
        return None
    await tx.execute(_ADD_REVISION, number, 1, rules, author_id, now)
    return Campaign.of(row)


_BY_REQUEST = f"SELECT {_COLUMNS}, request FROM campaigns WHERE request_id = $1"  # noqa: S608  constants only


async def find_by_request(db: database.Queryable, request_id: str) -> tuple[Campaign, bytes] | None:
    """Return the campaign that a request made, and that request; None when there is none."""
    row = await db.fetchrow(_BY_REQUEST, request_id)
    return None if row is None else (Campaign.of(row), row["request"])


_BY_KEY = f"SELECT {_COLUMNS} FROM campaigns WHERE campaign_key = $1 AND state <> 'ENDED'"  # noqa: S608  constants only


async def find_by_key(db: database.Queryable, key: str) -> Campaign | None:
    """Return the campaign that has a name now, or None."""
    row = await db.fetchrow(_BY_KEY, key)
    return None if row is None else Campaign.of(row)


_WRITE_VERSION = f"""
UPDATE campaigns
SET rules = $3, version = version + 1, state = 'DRAFT', author_id = $4,
    local_terms = coalesce($5, local_terms)
WHERE campaign_id = $1 AND version = $2 AND state <> 'ENDED'
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only


async def write_version(
    tx: database.Queryable,
    campaign_id: str,
    *,
    version: int,
    rules: bytes,
    author_id: str,
    now: datetime,
    local_terms: bytes | None = None,
) -> Campaign | None:
    """Write the next version of a campaign that is still at `version`; None when it is not."""
    number = ids.parse(PREFIX, campaign_id)
    row = await tx.fetchrow(_WRITE_VERSION, number, version, rules, author_id, local_terms)
    if row is None:
        return None
    await tx.execute(_ADD_REVISION, number, version + 1, rules, author_id, now)
    return Campaign.of(row)


_MOVE = f"""
UPDATE campaigns SET state = $4
WHERE campaign_id = $1 AND version = $2 AND state = ANY($3::TEXT[])
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only


async def move(
    tx: database.Queryable, campaign_id: str, *, version: int, sources: Iterable[str], target: str
) -> Campaign | None:
    """Bring a campaign that is at `version` and in one of the sources to a state, else None."""
    number = ids.parse(PREFIX, campaign_id)
    row = await tx.fetchrow(_MOVE, number, version, list(sources), target)
    return None if row is None else Campaign.of(row)


_FIND = f"SELECT {_COLUMNS} FROM campaigns WHERE campaign_id = $1"  # noqa: S608  constants only


async def find(db: database.Queryable, campaign_id: str) -> Campaign | None:
    """Return a campaign, or None."""
    row = await db.fetchrow(_FIND, ids.parse(PREFIX, campaign_id))
    return None if row is None else Campaign.of(row)


# The states are those of Campaign.state_at.
_LIST = f"""
SELECT {_COLUMNS}
FROM campaigns
WHERE
    (
        $1::TEXT IS NULL
        OR $1 = CASE
            WHEN state <> 'LIVE' THEN state
            WHEN end_time <= $2 THEN 'ENDED'
            WHEN paused OR template_paused THEN 'PAUSED'
            WHEN start_time > $2 THEN 'SCHEDULED'
            ELSE 'LIVE'
        END
    )
    AND ($3::TEXT[] IS NULL OR campaign_key = ANY($3))
    AND ($4::UUID IS NULL OR template_id = $4)
    AND ($5::UUID IS NULL OR campaign_id < $5)
ORDER BY campaign_id DESC
LIMIT $6
"""  # noqa: S608  constants only


async def list_newest(
    db: database.Queryable,
    *,
    state: str | None,
    keys: Sequence[str],
    template_id: str | None,
    before: str | None,
    now: datetime,
    count_max: int,
) -> list[Campaign]:
    """Return campaigns, newest first: their ids grow with time."""
    last = None if before is None else ids.parse(PREFIX, before)
    template = None if template_id is None else ids.parse(PREFIX, template_id)
    rows = await db.fetch(_LIST, state, now, list(keys) or None, template, last, count_max)
    return [Campaign.of(row) for row in rows]


# Versions and history ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """A row of `campaign_revisions`."""

    version: int
    rules: bytes
    author_id: str
    create_time: datetime | None


_VERSION = """
SELECT version, rules, author_id, create_time
FROM campaign_revisions
WHERE campaign_id = $1 AND version = $2
"""


async def find_version(db: database.Queryable, campaign_id: str, version: int) -> Version | None:
    """Return one version of a campaign, or None."""
    row = await db.fetchrow(_VERSION, ids.parse(PREFIX, campaign_id), version)
    return None if row is None else Version(**row)


#: What was done to campaigns, and by whom.
CHANGES = History("campaign", PREFIX)

_WRITERS = """
SELECT DISTINCT actor_id
FROM campaign_changes
WHERE
    campaign_id = $1 AND version > coalesce($2, 0)
    AND action IN ('CREATED', 'UPDATED', 'SUBMITTED')
"""


async def find_writers(tx: database.Queryable, campaign: Campaign) -> frozenset[str]:
    """Return who has written or handed in what is not live yet."""
    number = ids.parse(PREFIX, campaign.campaign_id)
    rows = await tx.fetch(_WRITERS, number, campaign.live_version)
    return frozenset(row["actor_id"] for row in rows) | {campaign.author_id}


# Publishing -------------------------------------------------------------------------------------

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('promotions.publish'))"


async def lock_publishing(tx: database.Queryable) -> None:
    """Wait until nobody else makes a rule set, and keep it so until the transaction ends."""
    await tx.execute(_LOCK)


_SELECT_LOCKED = f"""
SELECT {_COLUMNS}
FROM campaigns
WHERE campaign_id = ANY($1::UUID[])
ORDER BY campaign_id
FOR UPDATE
"""  # noqa: S608  constants only


async def lock(tx: database.Queryable, campaign_ids: Iterable[str]) -> dict[str, Campaign]:
    """Return those of the campaigns that exist, by id, locked."""
    wanted = [ids.parse(PREFIX, campaign_id) for campaign_id in campaign_ids]
    found = [Campaign.of(row) for row in await tx.fetch(_SELECT_LOCKED, wanted)]
    return {campaign.campaign_id: campaign for campaign in found}


_SELECT_LOCALS = f"""
SELECT {_COLUMNS}
FROM campaigns
WHERE template_id = $1 AND state <> 'ENDED'
ORDER BY campaign_id
FOR UPDATE
"""  # noqa: S608  constants only


async def lock_locals(tx: database.Queryable, template_id: str) -> list[Campaign]:
    """Return what is made of a template and has not ended, locked."""
    rows = await tx.fetch(_SELECT_LOCALS, ids.parse(PREFIX, template_id))
    return [Campaign.of(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Published:
    """The live version of a campaign; one that is not `in_force` is paused."""

    revision: Revision
    in_force: bool


# A process of an older release knows no live_version: what it publishes has its newest one live.
_PUBLISHED = """
SELECT
    campaigns.campaign_id, revisions.version, revisions.rules,
    NOT (campaigns.paused OR campaigns.template_paused) AS in_force
FROM campaigns
JOIN campaign_revisions AS revisions
    ON
        revisions.campaign_id = campaigns.campaign_id
        AND revisions.version = coalesce(campaigns.live_version, campaigns.version)
WHERE
    (campaigns.state = 'LIVE' OR campaigns.live_version IS NOT NULL)
    AND campaigns.state <> 'ENDED' AND NOT campaigns.is_template
ORDER BY campaigns.campaign_id
"""


async def published(tx: database.Queryable) -> list[Published]:
    """Return every campaign that carts see, or would see without a pause, in the order of ids."""
    return [Published(_revision(row), row["in_force"]) for row in await tx.fetch(_PUBLISHED)]


@dataclass(frozen=True, slots=True)
class Going:
    """A campaign whose newest version goes live, and what its rules say of it."""

    campaign_id: str
    start_time: datetime | None
    end_time: datetime | None
    is_template: bool


_TAKE_LIVE = """
UPDATE campaigns
SET
    state = 'LIVE', live_version = version, start_time = sent.start_time,
    end_time = sent.end_time, is_template = sent.is_template,
    publish_time = coalesce(publish_time, $5),
    publish_ruleset_version = coalesce(publish_ruleset_version, $6)
FROM
    unnest($1::UUID[], $2::TIMESTAMPTZ[], $3::TIMESTAMPTZ[], $4::BOOLEAN[])
        AS sent (campaign_id, start_time, end_time, is_template)
WHERE campaigns.campaign_id = sent.campaign_id
"""


async def take_live(
    tx: database.Queryable, going: Sequence[Going], *, ruleset_version: int, now: datetime
) -> None:
    """Make the newest versions of campaigns the live ones."""
    await tx.execute(
        _TAKE_LIVE,
        [ids.parse(PREFIX, one.campaign_id) for one in going],
        [one.start_time for one in going],
        [one.end_time for one in going],
        [one.is_template for one in going],
        now,
        ruleset_version,
    )


_FREE_CODES = "DELETE FROM campaign_codes WHERE campaign_id = ANY($1::UUID[])"
_ADD_CODES = """
INSERT INTO campaign_codes (code, campaign_id)
SELECT code, campaign_id FROM unnest($1::TEXT[], $2::UUID[]) AS sent (code, campaign_id)
"""


async def replace_codes(
    tx: database.Queryable, campaign_ids: Iterable[str], codes: Mapping[str, str]
) -> None:
    """Give campaigns these codes and no others; `codes` leads from capitals to campaigns."""
    await tx.execute(_FREE_CODES, [ids.parse(PREFIX, one) for one in campaign_ids])
    await tx.execute(_ADD_CODES, list(codes), [ids.parse(PREFIX, one) for one in codes.values()])


_PAUSE = "UPDATE campaigns SET paused = $2 WHERE campaign_id = $1"
_PAUSE_LOCALS = "UPDATE campaigns SET template_paused = $2 WHERE template_id = $1"


async def set_paused(tx: database.Queryable, campaign_id: str, *, paused: bool) -> None:
    """Pause or resume a campaign, and what is made of it."""
    await tx.execute(_PAUSE, ids.parse(PREFIX, campaign_id), paused)
    await tx.execute(_PAUSE_LOCALS, ids.parse(PREFIX, campaign_id), paused)


_END = """
UPDATE campaigns SET state = 'ENDED', end_ruleset_version = $2 WHERE campaign_id = ANY($1::UUID[])
"""


async def end(tx: database.Queryable, campaign_ids: Iterable[str], *, ruleset_version: int) -> None:
    """Take campaigns out for good; their codes and names may be used again."""
    numbers = [ids.parse(PREFIX, campaign_id) for campaign_id in campaign_ids]
    await tx.execute(_END, numbers, ruleset_version)
    await tx.execute(_FREE_CODES, numbers)


_EXPIRED = """
SELECT campaign_id FROM campaigns WHERE state = 'LIVE' AND end_time < $1 ORDER BY campaign_id
"""


async def expired(db: database.Queryable, *, before: datetime) -> list[str]:
    """Return the campaigns whose period was over by then, and that nobody has taken out."""
    return [ids.show(PREFIX, row["campaign_id"]) for row in await db.fetch(_EXPIRED, before)]


_HEAD = "SELECT coalesce(max(version), 0) FROM rulesets"


async def ruleset_head(db: database.Queryable) -> int:
    """Return the version of the newest rule set; 0 before the first."""
    version: int = await db.fetchval(_HEAD)
    return version


_RULESET_AT = "SELECT coalesce(max(version), 0) FROM rulesets WHERE create_time <= $1"


async def ruleset_at(db: database.Queryable, moment: datetime) -> int:
    """Return the version of the rule set that was in force at a moment; 0 before the first."""
    version: int = await db.fetchval(_RULESET_AT, moment)
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
