"""What has to be right before identity answers anybody: the master key and the first clients."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from services.chassis import clock, config, database, errors
from services.identity import engine, storage, vault
from services.identity.config import ClientSettings
from services.identity.errors import ScopeUnknown
from services.identity.storage import master_key

_SECRET_CHARACTERS_MIN = 32
_RETRY_S = 1.0

#: Who the audit log names for what the settings ask for.
ACTOR = "identity"

log = structlog.get_logger()

T = TypeVar("T")


def read_vault(path: Path) -> vault.Vault:
    """Return the vault behind a master key file. Raises ConfigError."""
    try:
        return vault.Vault(vault.read_master_key(config.secret(path)))
    except ValueError:
        raise config.ConfigError(
            f"identity.master_key_file {path} must hold 32 bytes as 44 base64 characters."
        ) from None


async def check_master_key(db: database.Database, box: vault.Vault) -> None:
    """Make sure that the database was filled under this master key. Raises ConfigError.

    The first start of an installation settles which key that is.
    """
    if not await _when_available(lambda: master_key.is_right(db, box.check_value)):
        raise config.ConfigError(
            "identity.master_key_file holds another key than the one this database was made with."
        )


async def install_clients(
    wanted: Sequence[ClientSettings],
    clients: storage.ClientStorage,
    box: vault.Vault,
    *,
    known: Collection[str],
    overlap: timedelta,
    now: clock.Clock,
) -> None:
    """Make the clients of the settings what the settings say. Raises ConfigError.

    A client that was revoked stays revoked. A changed secret works at once and the old one for
    `overlap`, so that programs can change over one by one.
    """
    for settings in wanted:
        client, secret_hash = _read(settings, box, known=known, now=now())
        await _when_available(
            functools.partial(_install, clients, client, secret_hash, overlap=overlap, now=now())
        )


def _read(
    settings: ClientSettings, box: vault.Vault, *, known: Collection[str], now: datetime
) -> tuple[engine.clients.Client, bytes]:
    secret = config.secret(settings.secret_file)
    if len(secret) < _SECRET_CHARACTERS_MIN:
        raise config.ConfigError(
            f"The secret file {settings.secret_file} must hold at least "
            f"{_SECRET_CHARACTERS_MIN} characters."
        )
    try:
        scopes = engine.clients.expand_scopes(settings.scopes, known=known)
    except ScopeUnknown as refusal:
        scope = refusal.fields["scope"]
        raise config.ConfigError(
            f"The client {settings.client_id} of identity.clients asks for {scope}, "
            "but no method needs such a scope."
        ) from None
    client = engine.clients.create(
        client_id=settings.client_id,
        display_name=settings.display_name or settings.client_id,
        scopes=scopes,
        store_ids=settings.store_ids,
        known=known,
        now=now,
    )
    return client, box.hash_secret(client.client_id, secret)


async def _install(
    clients: storage.ClientStorage,
    wanted: engine.clients.Client,
    secret_hash: bytes,
    *,
    overlap: timedelta,
    now: datetime,
) -> None:
    async with clients.transaction() as tx:
        is_new = await tx.insert(wanted)
        found = await tx.lock(wanted.client_id)
        assert found is not None  # clients are never deleted
        client = engine.clients.with_rights_of(found, wanted)
        is_changed = client != found
        if is_changed:
            await tx.update(client)
        is_rotated = not await tx.has_secret(client.client_id, secret_hash)
        if is_rotated:
            await tx.replace_secret(
                client.client_id, secret_hash, old_expire_time=now + overlap, now=now
            )
        if is_new or is_changed or is_rotated:
            await tx.record(_act(client, is_rotated=is_rotated, now=now))
            log.info("client installed", client_id=client.client_id)


def _act(client: engine.clients.Client, *, is_rotated: bool, now: datetime) -> storage.Entry:
    return storage.Entry(
        act_time=now,
        client_id=ACTOR,
        action="client.install",
        subject_id=client.client_id,
        detail={
            "scopes": list(client.scopes),
            "store_ids": list(client.store_ids),
            "secret": "new" if is_rotated else "kept",
        },
    )


async def _when_available(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work as soon as the database is there."""
    while True:
        try:
            return await work()
        except (errors.Unavailable, errors.DeadlineExceeded) as refusal:
            log.warning("start waits", reason=refusal.reason, error=refusal.message)
        await asyncio.sleep(_RETRY_S)
