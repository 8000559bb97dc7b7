"""Contexts read by many at once: everybody gets their own answer."""

import asyncio
import random
import secrets
from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis import database as chassis_database
from services.chassis import deadlines, errors, ids
from services.identity import storage, vault
from services.identity.engine import cards, contacts, members
from tools.stack import ports

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = members.Rules(
    phone_region="RU", language_code="en", virtual_card_prefix="29", time_zones=frozenset()
)


class Crowd:
    """A few hundred members, every third of them with a blocked card."""

    def __init__(self, db: Any, box: vault.Vault) -> None:
        self.contexts = storage.ContextStorage(db, box)
        self._members = storage.MemberStorage(db, box)
        self._vault = box
        self.expected: dict[members.Key, Any] = {}

    async def add(self, number: int) -> None:
        told = members.Registration(
            phone=f"+7916{number:07}",
            card_number=f"CARD{number}",
            birth_date=members.BirthDate(1950 + number % 60, 1, 1),
        )
        new = members.register(
            told,
            rules=RULES,
            member_id=ids.uuid7(),
            card_id=ids.uuid7(),
            randomness=bytes(16),
            now=NOON,
        )
        member = new.member
        async with self._members.transaction() as tx:
            await tx.insert_member(new, self._vault.create_person(member.member_id))
            if number % 3 == 0:
                await tx.block_card(member.cards[0].card_id, now=NOON)
        known = (member.member_id, member.birth_date)
        state = cards.State.BLOCKED if number % 3 == 0 else cards.State.ACTIVE
        self.expected[members.ById(member.member_id)] = (*known, None)
        self.expected[members.ByCard(f"CARD{number}")] = (*known, state)
        self.expected[members.ByPhone(contacts.read_phone(told.phone, region="RU"))] = (
            *known,
            None,
        )
        self.expected[members.ByCard(f"NOBODY{number}")] = None
        self.expected[members.ById(ids.uuid7())] = None

    async def ask(self, key: members.Key) -> Any:
        found = await self.contexts.find(key)
        if found is None:
            return None
        return found.member.member_id, found.member.birth_date, found.card_state


@pytest.fixture
async def crowd(empty_database: tuple[Any, Any]) -> Crowd:
    made = Crowd(empty_database[1], vault.Vault(secrets.token_bytes(32)))
    for number in range(150):
        await made.add(number)
    return made


async def test_everybody_gets_their_own_answer(crowd: Crowd) -> None:
    """Hundreds at once, by every kind of key, the unknown among them."""
    keys = list(crowd.expected) * 3
    random.Random(11).shuffle(keys)
    answers = await asyncio.gather(*(crowd.ask(key) for key in keys))
    assert answers == [crowd.expected[key] for key in keys]


async def test_who_gives_up_disturbs_nobody(crowd: Crowd) -> None:
    """Cancelled and late calls leave; the others are answered, and so are later ones."""
    keys = list(crowd.expected)
    tasks = [asyncio.create_task(crowd.ask(key)) for key in keys]
    await asyncio.sleep(0)
    given_up = set(random.Random(5).sample(range(len(tasks)), len(tasks) // 2)) | {0, 1}
    for place in given_up:
        tasks[place].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for place, key in enumerate(keys):
        if place in given_up:
            assert isinstance(answers[place], asyncio.CancelledError)
        else:
            assert answers[place] == crowd.expected[key]
    assert await crowd.ask(keys[0]) == crowd.expected[keys[0]]


async def test_deadline_of_the_first_is_not_that_of_the_others(crowd: Crowd) -> None:
    """A call with hardly any time left fails alone."""
    keys = list(crowd.expected)

    async def hurried(key: members.Key) -> Any:
        with deadlines.within(0.021):
            return await crowd.ask(key)

    first = [asyncio.create_task(hurried(key)) for key in keys[:2]]
    others = [asyncio.create_task(crowd.ask(key)) for key in keys[2:]]
    assert await asyncio.gather(*others) == [crowd.expected[key] for key in keys[2:]]
    await asyncio.gather(*first, return_exceptions=True)


async def test_one_broken_row_is_nobody_elses_trouble(
    crowd: Crowd, empty_database: tuple[Any, Any]
) -> None:
    """A ciphertext that does not open fails its own reader."""
    broken = next(key for key in crowd.expected if isinstance(key, members.ById))
    await empty_database[1].execute(
        "UPDATE members SET birth_date_ciphertext = 'x' WHERE member_id = $1", broken.member_id
    )
    keys = [key for key in crowd.expected if isinstance(key, members.ById)]
    answers = await asyncio.gather(*(crowd.ask(key) for key in keys), return_exceptions=True)
    for key, answer in zip(keys, answers, strict=True):
        if key == broken:
            assert isinstance(answer, vault.VaultError)
        else:
            assert answer == crowd.expected[key]


async def test_everybody_hears_of_an_outage(empty_database: tuple[Any, Any]) -> None:
    """While the database is away all readers are refused, and nobody waits for ever."""
    made, _ = empty_database
    async with chassis_database.Database.open(made.settings(port=ports.free())) as away:
        crowd = Crowd(away, vault.Vault(bytes(32)))
        keys = [members.ByCard(f"CARD{number}") for number in range(50)]
        for _ in range(2):
            answers = await asyncio.gather(
                *(crowd.ask(key) for key in keys), return_exceptions=True
            )
            assert all(isinstance(answer, errors.Unavailable) for answer in answers)
