"""What prices a cart, read on the path of every checkout.

A few reads run at a time. Whoever comes while all of them are under way waits together with the
others, and the next free place reads for all that wait in one statement: the busier the service,
the less a context costs.
"""

import asyncio
import contextvars
from collections.abc import Sequence
from typing import Final

from services.chassis import database
from services.identity import vault
from services.identity.engine import members
from services.identity.storage import people

_READS_MAX = 2
_TOGETHER_MAX = 200

_COLUMNS: Final = """
    found.card_state, member.member_id, member.state, member.wrapped_key,
    member.birth_date_ciphertext, member.language_code, member.time_zone, member.create_time,
    activity.purchase_count, activity.last_purchase_time,
    ARRAY(
        SELECT segment_id FROM segment_members AS entry
        WHERE entry.member_id = member.member_id
        ORDER BY segment_id
    ) AS segment_ids
"""
_ONE: Final = f"""
WITH found AS ({{found}})
SELECT {_COLUMNS}
FROM found
JOIN members AS member ON member.member_id = found.member_id
LEFT JOIN member_activity AS activity ON activity.member_id = member.member_id
WHERE member.wrapped_key IS NOT NULL
"""  # noqa: S608  the parts are constants
_ONE_BY: Final = {kind: _ONE.format(found=sql) for kind, sql in people.FIND_BY.items()}
# LIMIT inside of each LATERAL keeps the planner from scanning a table for a handful of rows.
_MANY: Final = f"""
WITH found AS (
    SELECT asked.place, asked.member_id, NULL AS card_state
    FROM unnest($1::INTEGER[], $2::UUID[]) AS asked (place, member_id)
    UNION ALL
    SELECT asked.place, card.member_id, card.state
    FROM unnest($3::INTEGER[], $4::TEXT[]) AS asked (place, card_number)
    CROSS JOIN LATERAL (
        SELECT member_id, state FROM cards WHERE card_number = asked.card_number LIMIT 1
    ) AS card
    UNION ALL
    SELECT asked.place, phone.member_id, NULL
    FROM unnest($5::INTEGER[], $6::BYTEA[]) AS asked (place, blind_index)
    CROSS JOIN LATERAL (
        SELECT member_id FROM contacts
        WHERE kind = 'phone' AND blind_index = asked.blind_index
        LIMIT 1
    ) AS phone
)
SELECT found.place, {_COLUMNS}
FROM found
CROSS JOIN LATERAL (
    SELECT
        member_id, state, wrapped_key, birth_date_ciphertext, language_code, time_zone, create_time
    FROM members
    WHERE member_id = found.member_id AND wrapped_key IS NOT NULL
    LIMIT 1
) AS member
LEFT JOIN LATERAL (
    SELECT purchase_count, last_purchase_time FROM member_activity
    WHERE member_id = member.member_id
    LIMIT 1
) AS activity ON TRUE
"""  # noqa: S608  the parts are constants

Answer = members.Found[members.Context] | None
_Waiting = tuple[members.Key, asyncio.Future[Answer]]


class ContextStorage:
    """Reads contexts."""

    def __init__(self, db: database.Database, box: vault.Vault) -> None:
        self._db = db
        self._vault = box
        self._waiting: list[_Waiting] = []
        self._reads = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, key: members.Key) -> Answer:
        """Return what prices the cart of the member behind a key, all of it read by index."""
        if self._reads < _READS_MAX:
            self._reads += 1
            try:
                return await self._read_one(key)
            finally:
                self._pass_on()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        return await future

    async def find_all(self, keys: Sequence[members.Key]) -> list[Answer | vault.VaultError]:
        """Return what prices the carts behind many keys; a row that cannot be opened is an error.

        One statement, whatever their number.
        """
        rows = await self._read_many(keys) if keys else {}
        return [self._try_open(rows.get(place)) for place in range(len(keys))]

    def _try_open(self, row: database.Record | None) -> Answer | vault.VaultError:
        try:
            return self._open(row)
        except vault.VaultError as error:
            return error

    def _pass_on(self) -> None:
        """Give a free place to those who wait, or give it back."""
        if not self._waiting:
            self._reads -= 1
            return
        # In an empty context: the deadline of the call that was first is not that of the others.
        task = asyncio.create_task(self._read_waiting(), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_waiting(self) -> None:
        try:
            while self._waiting:
                together = self._waiting[:_TOGETHER_MAX]
                del self._waiting[:_TOGETHER_MAX]
                await self._settle([(key, future) for key, future in together if not future.done()])
        finally:
            self._reads -= 1

    async def _settle(self, together: Sequence[_Waiting]) -> None:
        try:
            rows = await self._read_many([key for key, _ in together])
        except Exception as error:  # noqa: BLE001  everybody who waited hears of it
            for _, future in together:
                if not future.done():
                    future.set_exception(error)
            return
        for place, (_, future) in enumerate(together):
            if not future.done():
                self._answer(future, rows.get(place))

    def _answer(self, future: asyncio.Future[Answer], row: database.Record | None) -> None:
        try:
            future.set_result(self._open(row))
        except vault.VaultError as error:  # one broken row is nobody else's trouble
            future.set_exception(error)

    async def _read_one(self, key: members.Key) -> Answer:
        argument = people.argument(key, self._vault)
        return self._open(await self._db.fetchrow(_ONE_BY[type(key)], argument))

    async def _read_many(self, keys: Sequence[members.Key]) -> dict[int, database.Record]:
        arguments: list[list[object]] = []
        for kind in (members.ById, members.ByCard, members.ByPhone):
            places = [place for place, key in enumerate(keys) if isinstance(key, kind)]
            values = [people.argument(keys[place], self._vault) for place in places]
            arguments += [[*places], [*values]]
        return {row["place"]: row for row in await self._db.fetch(_MANY, *arguments)}

    def _open(self, row: database.Record | None) -> Answer:
        if row is None:
            return None
        is_born = row["birth_date_ciphertext"] is not None
        context = members.Context(
            member_id=row["member_id"],
            state=members.State(row["state"]),
            segment_ids=tuple(row["segment_ids"]),
            language_code=row["language_code"],
            time_zone=row["time_zone"],
            birth_date=people.birth_date(people.open_person(row, self._vault), row)
            if is_born
            else None,
            create_time=row["create_time"],
            purchase_count=row["purchase_count"] or 0,
            last_purchase_time=row["last_purchase_time"],
        )
        return people.found(row, context)
