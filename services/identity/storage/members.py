"""Members, their contacts, cards and segments. Personal data enters and leaves SQL encrypted."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from tessera.event.v1 import event_pb2

from services.chassis import database, outbox
from services.identity import errors, vault
from services.identity.engine import cards, contacts, members, requests
from services.identity.storage import audit, people

_NAME: Final = "display_name"
_REFUSALS = {
    "contacts_phone_key": errors.PhoneTaken,
    "contacts_email_key": errors.EmailTaken,
    "cards_card_number_key": errors.CardTaken,
}

_SUMMARY = """
WITH found AS ({found})
SELECT
    found.card_state, member.member_id, member.state, member.wrapped_key,
    member.display_name_ciphertext, member.language_code, phone.address_ciphertext
FROM found
JOIN members AS member ON member.member_id = found.member_id
LEFT JOIN contacts AS phone ON phone.member_id = member.member_id AND phone.kind = 'phone'
WHERE member.wrapped_key IS NOT NULL
"""
_SUMMARY_BY: Final = {kind: _SUMMARY.format(found=sql) for kind, sql in people.FIND_BY.items()}
_MEMBER = """
SELECT
    member_id, state, wrapped_key, display_name_ciphertext, birth_date_ciphertext,
    language_code, time_zone, register_store_id, create_time,
    ARRAY(
        SELECT segment_id FROM segment_members
        WHERE segment_members.member_id = members.member_id
        ORDER BY segment_id
    ) AS segment_ids
FROM members
WHERE member_id = $1 AND wrapped_key IS NOT NULL
"""
_CONTACTS = "SELECT kind, address_ciphertext FROM contacts WHERE member_id = $1"
_CARDS = """
SELECT card_id, member_id, card_number, state, create_time
FROM cards
WHERE member_id = $1
ORDER BY create_time, card_id
"""


class MemberStorage:
    """What identity knows of people."""

    def __init__(self, db: database.Database, box: vault.Vault) -> None:
        self._db = db
        self._vault = box

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["MemberTransaction"]:
        """Open a transaction; it commits when the block ends and rolls back when it raises."""
        async with self._db.transaction() as tx:
            yield MemberTransaction(tx, self._vault)

    async def find_summary(self, key: members.Key) -> members.Found[members.Summary] | None:
        """Return what a cashier may see of the member behind a key."""
        row = await self._db.fetchrow(_SUMMARY_BY[type(key)], people.argument(key, self._vault))
        return None if row is None else people.found(row, _summary(row, self._vault))

    async def find_member(self, member_id: UUID) -> members.Member | None:
        """Return everything about a member, all of it as of one instant."""
        async with self._db.transaction(isolation="repeatable_read", readonly=True) as tx:
            row = await tx.fetchrow(_MEMBER, member_id)
            if row is None:
                return None
            addresses = await tx.fetch(_CONTACTS, member_id)
            held = await tx.fetch(_CARDS, member_id)
        return self._member(row, addresses, held)

    def _member(
        self,
        row: database.Record,
        addresses: list[database.Record],
        held: list[database.Record],
    ) -> members.Member:
        person = people.open_person(row, self._vault)
        opened = {
            address["kind"]: person.open(address["kind"], address["address_ciphertext"])
            for address in addresses
        }
        return members.Member(
            member_id=row["member_id"],
            state=members.State(row["state"]),
            display_name=person.open(_NAME, row["display_name_ciphertext"]),
            phone=opened.get(contacts.Kind.PHONE, ""),
            email=opened.get(contacts.Kind.EMAIL, ""),
            language_code=row["language_code"],
            time_zone=row["time_zone"],
            birth_date=people.birth_date(person, row),
            cards=tuple(_card(card) for card in held),
            segment_ids=tuple(row["segment_ids"]),
            register_store_id=row["register_store_id"],
            create_time=row["create_time"],
        )


class MemberTransaction:
    """Changes to people that take effect together, with their events and their audit entries."""

    def __init__(self, tx: database.Transaction, box: vault.Vault) -> None:
        self._tx = tx
        self._vault = box

    _CLAIM = """
    INSERT INTO requests (
        client_id, method, request_id, member_id, fingerprints, answer_ciphertext, create_time
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (client_id, method, request_id) DO NOTHING
    RETURNING TRUE
    """
    _ANSWERED = """
    SELECT request.member_id, request.fingerprints, request.answer_ciphertext, member.wrapped_key
    FROM requests AS request
    JOIN members AS member ON member.member_id = request.member_id
    WHERE request.client_id = $1 AND request.method = $2 AND request.request_id = $3
    """

    async def claim(
        self, request: requests.Request, person: vault.PersonBox, *, answer: bytes, now: datetime
    ) -> requests.Answered | None:
        """Keep the answer of a request, or return what was kept before.

        Of several that claim the same request at once, the first to commit wins and the others
        wait for it.
        """
        name = (request.client_id, request.method, request.request_id)
        claimed = await self._tx.fetchval(
            self._CLAIM,
            *name,
            person.member_id,
            json.dumps(dict(request.fingerprints)),
            person.seal_bytes(_answer_label(request), answer),
            now,
        )
        if claimed:
            return None
        row = await self._tx.fetchrow(self._ANSWERED, *name)
        assert row is not None  # requests are never deleted while their member is there
        return requests.Answered(
            fingerprints=json.loads(row["fingerprints"]),
            answer=None
            if row["wrapped_key"] is None
            else people.open_person(row, self._vault).open_bytes(
                _answer_label(request), row["answer_ciphertext"]
            ),
        )

    _INSERT_MEMBER = """
    INSERT INTO members (
        member_id, state, wrapped_key, display_name_ciphertext, birth_date_ciphertext,
        language_code, time_zone, register_store_id, create_time
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    """
    _INSERT_CONTACT = """
    INSERT INTO contacts (member_id, kind, blind_index, address_ciphertext, create_time)
    VALUES ($1, $2, $3, $4, $5)
    """

    async def insert_member(self, new: members.Newcomer, person: vault.NewPerson) -> None:
        """Add a member with contacts and card. Raises PhoneTaken, EmailTaken or CardTaken."""
        member = new.member
        await self._tx.execute(
            self._INSERT_MEMBER,
            member.member_id,
            member.state,
            person.wrapped_key,
            person.box.seal(_NAME, member.display_name),
            people.seal_birth_date(person.box, member.birth_date),
            member.language_code,
            member.time_zone,
            member.register_store_id,
            member.create_time,
        )
        for contact in new.contacts:
            await self._insert(
                self._INSERT_CONTACT,
                member.member_id,
                contact.kind,
                self._vault.index(contact.kind, contact.lookup),
                person.box.seal(contact.kind, contact.address),
                member.create_time,
            )
        for card in member.cards:
            await self.insert_card(card)

    _INSERT_CARD = """
    INSERT INTO cards (card_id, member_id, card_number, state, create_time)
    VALUES ($1, $2, $3, $4, $5)
    """

    async def insert_card(self, card: cards.Card) -> None:
        """Add a card. Raises CardTaken."""
        await self._insert(
            self._INSERT_CARD,
            card.card_id,
            card.member_id,
            card.card_number,
            card.state,
            card.create_time,
        )

    async def _insert(self, sql: str, *arguments: object) -> None:
        try:
            await self._tx.execute(sql, *arguments)
        except asyncpg.UniqueViolationError as error:
            refusal = _REFUSALS.get(error.constraint_name or "")
            if refusal is None:
                raise
            raise refusal from None

    _LOCK_PERSON = """
    SELECT member_id, wrapped_key FROM members
    WHERE member_id = $1 AND wrapped_key IS NOT NULL
    FOR SHARE
    """

    async def lock_person(self, member_id: UUID) -> vault.PersonBox | None:
        """Return the box of a member who then stays until the transaction ends."""
        row = await self._tx.fetchrow(self._LOCK_PERSON, member_id)
        return None if row is None else people.open_person(row, self._vault)

    _LOCK_MEMBER = _SUMMARY_BY[members.ById] + "FOR UPDATE OF member"

    async def lock_summary(self, member_id: UUID) -> members.Summary | None:
        """Return a member whom nobody else changes until the transaction ends."""
        row = await self._tx.fetchrow(self._LOCK_MEMBER, member_id)
        return None if row is None else _summary(row, self._vault)

    _SET_STATE = "UPDATE members SET state = $2 WHERE member_id = $1"

    async def set_state(self, member_id: UUID, state: members.State) -> None:
        """Change whether a member may use the program."""
        await self._tx.execute(self._SET_STATE, member_id, state)

    _LOCK_CARD = """
    SELECT card_id, member_id, card_number, state, create_time
    FROM cards
    WHERE card_number = $1
    FOR UPDATE
    """

    async def lock_card(self, card_number: str) -> cards.Card | None:
        """Return a card that nobody else changes until the transaction ends."""
        row = await self._tx.fetchrow(self._LOCK_CARD, card_number)
        return None if row is None else _card(row)

    _BLOCK_CARD = "UPDATE cards SET state = 'blocked', block_time = $2 WHERE card_id = $1"

    async def block_card(self, card_id: UUID, *, now: datetime) -> None:
        """Stop a card."""
        await self._tx.execute(self._BLOCK_CARD, card_id, now)

    _TOUCH_SEGMENT = """
    INSERT INTO segments (segment_id, create_time, update_time)
    VALUES ($1, $2, $2)
    ON CONFLICT (segment_id) DO UPDATE SET update_time = EXCLUDED.update_time
    """

    async def lock_segment(self, segment_id: str, *, now: datetime) -> None:
        """Make sure that a segment exists and that nobody else changes it meanwhile."""
        await self._tx.execute(self._TOUCH_SEGMENT, segment_id, now)

    _UNKNOWN = """
    SELECT asked.member_id
    FROM unnest($1::UUID[]) AS asked (member_id)
    LEFT JOIN members AS member
        ON member.member_id = asked.member_id AND member.wrapped_key IS NOT NULL
    WHERE member.member_id IS NULL
    ORDER BY asked.member_id
    LIMIT 1
    """

    async def find_unknown(self, member_ids: Sequence[UUID]) -> UUID | None:
        """Return the first of these ids that no member has."""
        unknown: UUID | None = await self._tx.fetchval(self._UNKNOWN, member_ids)
        return unknown

    _ENTER = """
    INSERT INTO segment_members (member_id, segment_id, enter_time)
    SELECT asked.member_id, $1, $3
    FROM unnest($2::UUID[]) AS asked (member_id)
    ORDER BY asked.member_id
    ON CONFLICT (member_id, segment_id) DO NOTHING
    RETURNING member_id
    """

    async def enter_segment(
        self, segment_id: str, member_ids: Sequence[UUID], *, now: datetime
    ) -> list[UUID]:
        """Put members into a locked segment; return those who were not in."""
        rows = await self._tx.fetch(self._ENTER, segment_id, member_ids, now)
        return [row["member_id"] for row in rows]

    _LEAVE = """
    DELETE FROM segment_members
    WHERE segment_id = $1 AND member_id = ANY($2)
    RETURNING member_id
    """

    async def leave_segment(self, segment_id: str, member_ids: Sequence[UUID]) -> list[UUID]:
        """Take members out of a locked segment; return those who were in."""
        rows = await self._tx.fetch(self._LEAVE, segment_id, member_ids)
        return [row["member_id"] for row in rows]

    async def record(self, entry: audit.Entry) -> None:
        """Write an act into the audit log."""
        await audit.append(self._tx, entry)

    async def publish(self, *events: event_pb2.Event) -> None:
        """Let events leave once the transaction is committed."""
        await outbox.append(self._tx, *events)


def _summary(row: database.Record, box: vault.Vault) -> members.Summary:
    person = people.open_person(row, box)
    phone = person.open(contacts.Kind.PHONE, row["address_ciphertext"])
    return members.Summary(
        member_id=row["member_id"],
        state=members.State(row["state"]),
        display_name=person.open(_NAME, row["display_name_ciphertext"]),
        masked_phone=contacts.mask_phone(phone),
        language_code=row["language_code"],
    )


def _card(row: database.Record) -> cards.Card:
    return cards.Card(
        card_id=row["card_id"],
        member_id=row["member_id"],
        card_number=row["card_number"],
        state=cards.State(row["state"]),
        create_time=row["create_time"],
    )


def _answer_label(request: requests.Request) -> str:
    return f"answer {request.client_id} {request.method} {request.request_id}"
