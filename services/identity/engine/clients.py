"""Programs that call the platform: which scopes there are, and which of them a token carries."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.identity import errors

_ID = re.compile(r"[a-z0-9][a-z0-9.-]{2,63}")


class State(StrEnum):
    """Whether a client gets tokens."""

    ACTIVE = "active"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program; no store ids mean every store."""

    client_id: str
    display_name: str
    scopes: tuple[str, ...]
    store_ids: tuple[str, ...]
    state: State
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A client and the hashes of the secrets that work at the moment."""

    client: Client
    secret_hashes: tuple[bytes, ...]


def is_client_id(text: str) -> bool:
    """Tell whether a client could have this name."""
    return _ID.fullmatch(text) is not None


def create(
    *,
    client_id: str,
    display_name: str,
    scopes: Iterable[str],
    store_ids: Iterable[str],
    known: Collection[str],
    now: datetime,
) -> Client:
    """Return a new client. Raises ScopeUnknown with the first scope that no method asks for."""
    sorted_scopes = tuple(sorted(set(scopes)))
    for scope in sorted_scopes:
        if scope not in known:
            raise errors.ScopeUnknown(scope=scope)
    return Client(
        client_id=client_id,
        display_name=display_name,
        scopes=sorted_scopes,
        store_ids=tuple(sorted(set(store_ids))),
        state=State.ACTIVE,
        create_time=now,
    )


def is_active(client: Client) -> bool:
    """Tell whether a client may get tokens."""
    return client.state is State.ACTIVE


def check_active(client: Client) -> None:
    """Raise ClientRevoked unless the client may get tokens."""
    if not is_active(client):
        raise errors.ClientRevoked(client_id=client.client_id)


def revoke(client: Client) -> Client:
    """Return the client revoked; a revoked one stays as it is."""
    return replace(client, state=State.REVOKED)


def with_rights_of(client: Client, wanted: Client) -> Client:
    """Return the client with the name and rights of another; its state and age stay."""
    return replace(
        client,
        display_name=wanted.display_name,
        scopes=wanted.scopes,
        store_ids=wanted.store_ids,
    )


def expand_scopes(patterns: Iterable[str], *, known: Collection[str]) -> tuple[str, ...]:
    """Return the scopes that the patterns stand for, sorted.

    A pattern is a scope, `ledger.*` for every scope of a resource, or `*` for every scope there is.
    Raises ScopeUnknown with the first pattern that stands for nothing.
    """
    expanded: set[str] = set()
    for pattern in patterns:
        found = {scope for scope in known if _matches(pattern, scope)}
        if not found:
            raise errors.ScopeUnknown(scope=pattern)
        expanded |= found
    return tuple(sorted(expanded))


def narrow_scopes(
    allowed: Collection[str], *, asked: Collection[str] | None
) -> tuple[str, ...] | None:
    """Return the scopes of a token: those asked for, or all when none were named.

    None means that more was asked for than the client may have (RFC 6749, section 3.3).
    """
    if asked is None:
        return tuple(sorted(allowed))
    wanted = set(asked)
    return tuple(sorted(wanted)) if wanted and wanted <= set(allowed) else None


def _matches(pattern: str, scope: str) -> bool:
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return scope.startswith(pattern[:-1])
    return scope == pattern
