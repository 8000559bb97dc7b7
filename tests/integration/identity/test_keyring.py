"""Signing keys over time: the clock is an argument, the database is real."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwk, jwt

from services.chassis import attempts, auth, config, errors, guesses, hotstore
from services.chassis import database as chassis_database
from services.identity import engine, oauth, storage, vault
from services.identity.oauth import grants
from tools.stack import ports

POLICY = engine.keys.Policy(
    publish_lead=timedelta(minutes=15),
    rotation=timedelta(hours=2),
    token_life=timedelta(minutes=15),
    retire_margin=timedelta(minutes=10),
)
TERMS = oauth.Terms(
    issuer="tessera-identity",
    audience="tessera",
    life=POLICY.token_life,
    attempts=attempts.Limit(burst=5, interval=timedelta(seconds=6)),
)
SECRET = "s" * 43


class Timeline:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **fields: float) -> None:
        self.now += timedelta(**fields)


class Process:
    """What one identity process has of keys: several on one database make an installation."""

    def __init__(self, db: Any, hot: Any, box: vault.Vault, clock: Timeline) -> None:
        self._clock = clock
        self.keyring = oauth.Keyring(
            storage.SigningKeyStorage(db, box), POLICY, now=clock, reload_s=30
        )
        counted = guesses.Guesses(hot, "identity", now=clock)
        self.issuer = oauth.Issuer(
            storage.ClientStorage(db), box, self.keyring, TERMS, counted, now=clock
        )

    async def token(self) -> str:
        grant = grants.Grant(client_id="pos-1", client_secret=SECRET, scopes=None)
        answer = await self.issuer.issue(grant, address="127.0.0.1")
        return str(answer["access_token"])

    def verifier(self, **fields: Any) -> auth.Verifier:
        settings = config.AuthSettings(**fields)
        return auth.Verifier(
            settings, fetch=self.keyring.document, now=lambda: self._clock().timestamp()
        )


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
async def hot(valkey: Any) -> AsyncIterator[Any]:
    settings = config.HotstoreSettings(url=valkey.url, timeout_ms=2000)
    async with hotstore.Hotstore.open(settings) as opened:
        yield opened


@pytest.fixture
async def processes(empty_database: tuple[Any, Any], hot: Any, timeline: Timeline) -> list[Process]:
    _, db = empty_database
    box = vault.Vault(secrets.token_bytes(32))
    client = engine.clients.create(
        client_id="pos-1",
        display_name="Till",
        scopes=["checkout"],
        store_ids=["store-1"],
        known={"checkout"},
        now=timeline(),
    )
    async with storage.ClientStorage(db).transaction() as tx:
        await tx.insert(client)
        await tx.replace_secret(
            "pos-1",
            box.hash_secret("pos-1", SECRET),
            old_expire_time=timeline(),
            now=timeline(),
        )
    return [Process(db, hot, box, timeline) for _ in range(3)]


async def key_ids(process: Process) -> list[str]:
    return [key["kid"] for key in (await process.keyring.document())["keys"]]


def read_kid(token: str) -> str:
    head = token.split(".", maxsplit=1)[0]
    key_id: str = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    return key_id


async def test_processes_that_start_together_make_one_key(processes: list[Process]) -> None:
    """Ten starts at once end with the same single key everywhere."""
    await asyncio.gather(*(process.keyring.refresh() for process in processes * 4))
    found = [await key_ids(process) for process in processes]
    assert len(found[0]) == 1
    assert found == [found[0]] * 3


async def test_rotation_never_surprises_a_verifier(
    processes: list[Process], timeline: Timeline
) -> None:
    """Minute by minute over four rotations: keys five minutes old verify what anybody signs.

    The processes look into the database at different times, and the document comes from another
    process than the token.
    """
    kids: list[str] = []
    document: Any = {"keys": []}
    for minute in range(4 * 120):
        signing, publishing = processes[minute % 3], processes[(minute + 1) % 3]
        await processes[minute % 3].keyring.refresh()
        if minute % 5 == 0:
            document = await publishing.keyring.document()
        token = await signing.token()
        jwt.decode(token, jwk.KeySet.import_key_set(document), algorithms=["ES256"])
        kids += [] if read_kid(token) in kids[-1:] else [read_kid(token)]
        timeline.advance(minutes=1)
    assert len(kids) == len(set(kids)) == 4


async def test_old_token_is_verified_until_it_expires(
    processes: list[Process], timeline: Timeline
) -> None:
    """A token signed in the last second of a key lives as long as any other."""
    process = processes[0]
    await process.keyring.refresh()
    timeline.advance(hours=2, minutes=-15)
    await process.keyring.refresh()
    assert len(await key_ids(process)) == 2
    timeline.advance(minutes=15, seconds=-1)
    old = await process.token()
    timeline.advance(seconds=1)
    assert read_kid(await process.token()) != read_kid(old)
    timeline.advance(minutes=14)
    await process.keyring.refresh()
    caller = await process.verifier().verify(old)
    assert (caller.client_id, caller.store_ids) == ("pos-1", frozenset({"store-1"}))
    timeline.advance(minutes=2)
    with pytest.raises(errors.Unauthenticated, match="expired"):
        await process.verifier().verify(old)


async def test_retired_key_is_erased_and_its_tokens_are_worth_nothing(
    processes: list[Process], timeline: Timeline, empty_database: tuple[Any, Any]
) -> None:
    """After the margin the private half is gone from the database."""
    process = processes[0]
    old = await process.token()
    timeline.advance(hours=2)
    await process.keyring.refresh()
    timeline.advance(minutes=15 + 15 + 10)
    await process.keyring.refresh()
    assert read_kid(old) not in await key_ids(process)
    with pytest.raises(errors.Unauthenticated, match="key is not known"):
        await process.verifier().verify(old)
    row = await empty_database[1].fetchrow(
        "SELECT private_key_ciphertext, retire_time FROM signing_keys WHERE key_id = $1",
        read_kid(old),
    )
    assert (row["private_key_ciphertext"], row["retire_time"]) == (None, timeline())


async def test_token_is_for_its_audience_and_from_its_issuer(processes: list[Process]) -> None:
    """Elsewhere the same token is refused."""
    token = await processes[0].token()
    assert (await processes[0].verifier().verify(token)).scopes == {"checkout"}
    for fields, problem in (({"audience": "other"}, "aud"), ({"issuer": "other"}, "iss")):
        with pytest.raises(errors.Unauthenticated, match=f"claim {problem} is wrong"):
            await processes[0].verifier(**fields).verify(token)


async def test_private_keys_are_kept_encrypted(
    processes: list[Process], empty_database: tuple[Any, Any]
) -> None:
    """Neither the row nor the document shows the private number of a key."""
    await processes[0].keyring.refresh()
    row = await empty_database[1].fetchrow(
        "SELECT key_id, public_jwk, private_key_ciphertext FROM signing_keys"
    )
    signer = await processes[0].keyring.signer()
    private = signer.as_dict(private=True)["d"]
    assert isinstance(private, str)
    assert private not in row["public_jwk"]
    assert private.encode() not in row["private_key_ciphertext"]
    other = vault.Vault(bytes(32))
    with pytest.raises(vault.VaultError):
        other.open_signing_key(row["key_id"], row["private_key_ciphertext"])


async def test_outage_of_the_database_costs_no_attempts(
    empty_database: tuple[Any, Any], hot: Any, timeline: Timeline
) -> None:
    """While the database is away nobody gets a token, and nobody is locked out for having tried."""
    made, _ = empty_database
    async with chassis_database.Database.open(made.settings(port=ports.free())) as away:
        process = Process(away, hot, vault.Vault(bytes(32)), timeline)
        for _ in range(10):
            with pytest.raises(errors.Unavailable):
                await process.token()
        with pytest.raises(errors.Unavailable):
            await process.keyring.document()
