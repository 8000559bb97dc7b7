"""The record of acts with power over others."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.chassis import database, ids

_INSERT = """
INSERT INTO audit_entries (audit_id, act_time, client_id, action, subject_id, detail)
VALUES ($1, $2, $3, $4, $5, $6)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act: `action` is `noun.verb`, `detail` names no person."""

    act_time: datetime
    client_id: str
    action: str
    subject_id: str
    detail: Mapping[str, str | int | list[str]] = field(default_factory=dict)


async def append(tx: database.Queryable, entry: Entry) -> None:
    """Record an act in the transaction of the act itself."""
    await tx.execute(
        _INSERT,
        ids.uuid7(),
        entry.act_time,
        entry.client_id,
        entry.action,
        entry.subject_id,
        json.dumps(entry.detail, sort_keys=True),
    )
