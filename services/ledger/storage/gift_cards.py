"""Gift cards: what is known of them besides their money."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.chassis import database
from services.ledger.engine.giftcards import State

_INSERT_ISSUE = """
INSERT INTO gift_card_issues (request_id, asset_code, card_count, create_time, key_number)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (request_id) DO NOTHING
"""
_ISSUE = """
SELECT asset_code, card_count, create_time, key_number FROM gift_card_issues WHERE request_id = $1
"""
# The same issue may come again; a code that another issue drew before stays that one's.
_INSERT_CARDS = """
INSERT INTO gift_cards (
    card_id, request_id, number, asset_code, hint, state, create_time
)
SELECT card_id, $1, number, $2, hint, 1, $3
FROM unnest($4::UUID[], $5::INTEGER[], $6::TEXT[]) AS made (card_id, number, hint)
ORDER BY card_id
ON CONFLICT DO NOTHING
"""
_NUMBERS = "SELECT number FROM gift_cards WHERE request_id = $1"

_COLUMNS = "card_id, asset_code, hint, state, create_time, activate_time"
_SELECT = f"SELECT {_COLUMNS} FROM gift_cards WHERE card_id = $1"  # noqa: S608  constants only
_ACTIVATE = f"""
UPDATE gift_cards
SET state = 2, activate_time = $2
WHERE card_id = $1 AND state = 1
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only
_BLOCK = f"""
UPDATE gift_cards
SET state = 3, block_time = $2
WHERE card_id = $1 AND state <> 3
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only
_UNBLOCK = f"""
UPDATE gift_cards
SET state = CASE WHEN activate_time IS NULL THEN 1 ELSE 2 END, block_time = NULL
WHERE card_id = $1 AND state = 3
RETURNING {_COLUMNS}
"""  # noqa: S608  constants only


class Card(NamedTuple):
    """A card without its money."""

    id: UUID
    asset_code: str
    hint: str
    state: State
    created_at: datetime
    activated_at: datetime | None


class Issue(NamedTuple):
    """Cards that were made together."""

    asset_code: str
    card_count: int
    created_at: datetime
    key_number: int


class Draft(NamedTuple):
    """A card about to be made."""

    id: UUID
    number: int
    hint: str


class GiftCards:
    """Keeps gift cards."""

    def __init__(self, source: database.Database) -> None:
        self._source = source

    async def begin(self, request_id: str, wanted: Issue) -> Issue:
        """Note that cards are to be made; returns what was noted first under this id."""
        await self._source.execute(_INSERT_ISSUE, request_id, *wanted)
        row = await self._source.fetchrow(_ISSUE, request_id)
        assert row is not None
        return Issue(*row)

    async def add(self, request_id: str, issue: Issue, drafts: Sequence[Draft]) -> None:
        """Make the cards of an issue that are not there yet."""
        if drafts:
            columns = zip(*drafts, strict=True)
            arguments = request_id, issue.asset_code, issue.created_at
            await self._source.execute(_INSERT_CARDS, *arguments, *columns)

    async def numbers(self, request_id: str) -> set[int]:
        """Return the numbers of the cards that an issue has made."""
        return {row["number"] for row in await self._source.fetch(_NUMBERS, request_id)}

    async def get(self, card_id: UUID, tx: database.Queryable | None = None) -> Card | None:
        """Return a card, None when there is none."""
        return _card(await (tx or self._source).fetchrow(_SELECT, card_id))

    async def activate(self, card_id: UUID, *, at: datetime) -> Card | None:
        """Make an issued card active; None when it is not issued any more."""
        return _card(await self._source.fetchrow(_ACTIVATE, card_id, at))

    async def block(self, tx: database.Queryable, card_id: UUID, *, at: datetime) -> Card | None:
        """Make a card blocked; None when it is already."""
        return _card(await tx.fetchrow(_BLOCK, card_id, at))

    async def unblock(self, tx: database.Queryable, card_id: UUID) -> Card | None:
        """Give a blocked card its state back; None when it is not blocked."""
        return _card(await tx.fetchrow(_UNBLOCK, card_id))


def _card(row: database.Record | None) -> Card | None:
    if row is None:
        return None
    card_id, asset_code, hint, state, *rest = row
    return Card(card_id, asset_code, hint, State(state), *rest)
