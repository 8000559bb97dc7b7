"""How far uploads are. Their rows are batches like all others."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger.engine import uploads

_COLUMNS = """upload_id, occurred_time, operator_id, label, next_row, posted_count, refused_count,
    create_time, update_time"""
_INSERT = """
INSERT INTO uploads (
    upload_id, occurred_time, operator_id, label, next_row, posted_count, refused_count,
    create_time, update_time
)
VALUES ($1, $2, $3, $4, 0, 0, 0, $5, $5)
ON CONFLICT (upload_id) DO NOTHING
"""
_SELECT = f"SELECT {_COLUMNS} FROM uploads WHERE upload_id = $1"  # noqa: S608  constants only
# Whoever sends the same rows at the same time has counted them.
_ADVANCE = """
UPDATE uploads
SET next_row = $3, posted_count = $4, refused_count = $5, update_time = $6
WHERE upload_id = $1 AND next_row = $2
"""
_ANSWERS = "SELECT batch_id, answer FROM batches WHERE batch_id = ANY($1::UUID[])"


class Upload(NamedTuple):
    """An upload and how far it is."""

    id: UUID
    occurred_at: datetime
    operator_id: str
    label: str
    progress: uploads.Progress
    created_at: datetime
    updated_at: datetime


class Uploads:
    """Keeps uploads."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def create(
        self, upload_id: UUID, *, occurred_at: datetime, operator_id: str, label: str, now: datetime
    ) -> Upload:
        """Keep a new upload; returns the one that has its id, which may be an earlier one."""
        await self._source.execute(_INSERT, upload_id, occurred_at, operator_id, label, now)
        made = await self.get(upload_id)
        assert made is not None
        return made

    async def get(self, upload_id: UUID) -> Upload | None:
        """Return an upload, None when there is none."""
        row = await self._source.fetchrow(_SELECT, upload_id)
        if row is None:
            return None
        id_, occurred, operator_id, label, next_row, posted, refused, created, updated = row
        progress = uploads.Progress(next_row, posted, refused)
        return Upload(id_, occurred, operator_id, label, progress, created, updated)

    async def advance(self, upload: Upload, progress: uploads.Progress, *, now: datetime) -> Upload:
        """Note how far an upload is; returns it as it is now, which may be further still."""
        word = await self._source.execute(
            _ADVANCE, upload.id, upload.progress.next_row, *progress, now
        )
        if word == "UPDATE 1":
            return upload._replace(progress=progress, updated_at=now)
        found = await self.get(upload.id)
        assert found is not None
        return found

    async def answers(self, batch_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """Return the stored answers to batches."""
        rows = await self._source.fetch(_ANSWERS, batch_ids)
        return {row["batch_id"]: row["answer"] for row in rows}
