"""Subscriptions and the payments that carried them on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from services.chassis import database, ids
from services.promotions.storage.programs import PREFIX as PROGRAM_PREFIX
from services.promotions.storage.receipts import MEMBER_PREFIX

PREFIX = "sub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A row of `subscriptions`; see the schema."""

    subscription_id: str
    member_id: str
    program_id: str
    create_time: datetime
    period: int = 0
    anchor: datetime | None = None
    covered_until: datetime | None = None
    cancel_time: datetime | None = None
    end_time: datetime | None = None
    expire_time: datetime | None = None
    program_version: int = 1

    @classmethod
    def of(cls, row: database.Record) -> Self:
        """Return a row as a value."""
        return cls(
            subscription_id=ids.show(PREFIX, row["subscription_id"]),
            member_id=ids.show(MEMBER_PREFIX, row["member_id"]),
            program_id=ids.show(PROGRAM_PREFIX, row["program_id"]),
            create_time=row["create_time"],
            period=row["period"],
            anchor=row["anchor"],
            covered_until=row["covered_until"],
            cancel_time=row["cancel_time"],
            end_time=row["end_time"],
            expire_time=row["expire_time"],
            program_version=row["program_version"],
        )


_COLUMNS = """
    subscription_id, member_id, program_id, create_time, period, anchor, covered_until,
    cancel_time, end_time, expire_time, program_version
"""
_BY_REQUEST = f"""
SELECT {_COLUMNS}, request
FROM subscriptions
WHERE request_id = $1
"""  # noqa: S608  constants only


async def find_by_request(
    db: database.Queryable, request_id: str
) -> tuple[Subscription, bytes] | None:
    """Return the subscription that a request made, and that request."""
    row = await db.fetchrow(_BY_REQUEST, request_id)
    return None if row is None else (Subscription.of(row), row["request"])


_ADD = """
INSERT INTO subscriptions (
    subscription_id, member_id, program_id, create_time, period, covered_until, expire_time,
    request_id, request, program_version
)
VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9)
"""


async def add(
    tx: database.Queryable, new: Subscription, *, request_id: str, request: bytes
) -> None:
    """Write a new subscription."""
    await tx.execute(
        _ADD,
        ids.parse(PREFIX, new.subscription_id),
        ids.parse(MEMBER_PREFIX, new.member_id),
        ids.parse(PROGRAM_PREFIX, new.program_id),
        new.create_time,
        new.covered_until,
        new.expire_time,
        request_id,
        request,
        new.program_version,
    )


_FIND = f"""
SELECT {_COLUMNS}
FROM subscriptions
WHERE subscription_id = $1
"""  # noqa: S608  constants only
_LOCK = _FIND + "FOR UPDATE"


async def find(db: database.Queryable, subscription_id: str) -> Subscription | None:
    """Return a subscription, or None."""
    row = await db.fetchrow(_FIND, ids.parse(PREFIX, subscription_id))
    return None if row is None else Subscription.of(row)


async def lock(tx: database.Queryable, subscription_id: str) -> Subscription | None:
    """Return a subscription and keep everybody else from changing it."""
    row = await tx.fetchrow(_LOCK, ids.parse(PREFIX, subscription_id))
    return None if row is None else Subscription.of(row)


_SAVE = """
UPDATE subscriptions
SET
    period = $2, anchor = $3, covered_until = $4, cancel_time = $5, end_time = $6,
    expire_time = $7, program_version = $8
WHERE subscription_id = $1
"""


async def save(tx: database.Queryable, changed: Subscription) -> None:
    """Write a subscription that is locked."""
    await tx.execute(
        _SAVE,
        ids.parse(PREFIX, changed.subscription_id),
        changed.period,
        changed.anchor,
        changed.covered_until,
        changed.cancel_time,
        changed.end_time,
        changed.expire_time,
        changed.program_version,
    )


_OF_MEMBER = f"""
SELECT {_COLUMNS}
FROM subscriptions
WHERE member_id = $1
ORDER BY subscription_id DESC
LIMIT $2
"""  # noqa: S608  constants only


async def of_member(
    db: database.Queryable, member_id: str, *, count_max: int
) -> list[Subscription]:
    """Return a member's subscriptions, newest first."""
    member = ids.parse(MEMBER_PREFIX, member_id)
    return [Subscription.of(row) for row in await db.fetch(_OF_MEMBER, member, count_max)]


_OF_PROGRAM = f"""
SELECT {_COLUMNS}
FROM subscriptions
WHERE member_id = $1 AND program_id = $2
ORDER BY subscription_id DESC
"""  # noqa: S608  constants only


async def of_program(tx: database.Queryable, member_id: str, program_id: str) -> list[Subscription]:
    """Return a member's subscriptions to one plan, newest first."""
    rows = await tx.fetch(
        _OF_PROGRAM, ids.parse(MEMBER_PREFIX, member_id), ids.parse(PROGRAM_PREFIX, program_id)
    )
    return [Subscription.of(row) for row in rows]


_RUNNING = f"""
SELECT {_COLUMNS}
FROM subscriptions
WHERE member_id = $1 AND covered_until IS NOT NULL AND expire_time > $2
"""  # noqa: S608  constants only


async def running(db: database.Queryable, member_id: str, *, now: datetime) -> list[Subscription]:
    """Return a member's subscriptions that give something now."""
    rows = await db.fetch(_RUNNING, ids.parse(MEMBER_PREFIX, member_id), now)
    return [Subscription.of(row) for row in rows]


_DUE = """
SELECT
    subscription_id, member_id, program_id, subscriptions.create_time, period, anchor,
    covered_until, cancel_time, subscriptions.end_time, expire_time, program_version
FROM subscriptions JOIN programs USING (program_id)
WHERE
    cancel_time IS NULL AND subscriptions.end_time IS NULL AND covered_until < $1
    AND expire_time > $2 AND programs.state = 'LIVE'
    AND ($3::TIMESTAMPTZ IS NULL OR (covered_until, subscription_id) > ($3, $4))
ORDER BY covered_until, subscription_id
LIMIT $5
"""


async def due(
    db: database.Queryable,
    *,
    before: datetime,
    now: datetime,
    after: tuple[datetime, str] | None,
    count_max: int,
) -> list[Subscription]:
    """Return what is to be charged, the earliest end of cover first."""
    last = None if after is None else (after[0], ids.parse(PREFIX, after[1]))
    rows = await db.fetch(_DUE, before, now, *(last or (None, None)), count_max)
    return [Subscription.of(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Payment:
    """A confirmed payment."""

    payment_id: str
    subscription_id: str
    period: int
    amount_minor: int


_PAYMENT = """
SELECT payment_id, subscription_id, period, amount_minor
FROM subscription_payments
WHERE payment_id = $1
"""


async def find_payment(db: database.Queryable, payment_id: str) -> Payment | None:
    """Return a payment, or None."""
    row = await db.fetchrow(_PAYMENT, payment_id)
    if row is None:
        return None
    subscription_id = ids.show(PREFIX, row["subscription_id"])
    return Payment(payment_id, subscription_id, row["period"], row["amount_minor"])


_ADD_PAYMENT = """
INSERT INTO subscription_payments (
    payment_id, subscription_id, period, amount_minor, create_time
)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (payment_id) DO NOTHING
RETURNING payment_id
"""


async def add_payment(tx: database.Queryable, new: Payment, *, now: datetime) -> bool:
    """Write a payment; False when its id is in use."""
    subscription_id = ids.parse(PREFIX, new.subscription_id)
    written = await tx.fetchval(
        _ADD_PAYMENT, new.payment_id, subscription_id, new.period, new.amount_minor, now
    )
    return written is not None
