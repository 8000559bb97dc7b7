"""Clients and their scopes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity import errors, scopes
from services.identity.engine import clients

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
KNOWN = frozenset({"checkout", "ledger.post", "ledger.read", "members.context"})


def create(**fields: object) -> clients.Client:
    defaults = {
        "client_id": "pos-1",
        "display_name": "Till",
        "scopes": ["checkout"],
        "store_ids": [],
        "known": KNOWN,
        "now": NOON,
    }
    return clients.create(**{**defaults, **fields})  # type: ignore[arg-type]


def test_scopes_and_stores_are_sorted() -> None:
    """What was asked for in any order is kept in one."""
    client = create(scopes=["ledger.read", "checkout"], store_ids=["b", "a"])
    assert client.scopes == ("checkout", "ledger.read")
    assert client.store_ids == ("a", "b")


def test_scope_that_no_method_needs_is_refused() -> None:
    """A misspelt scope is an error, not a right that never works."""
    with pytest.raises(errors.ScopeUnknown) as caught:
        create(scopes=["checkout", "ledger.psot"])
    assert caught.value.metadata == {"scope": "ledger.psot"}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*"], sorted(KNOWN)),
        (["ledger.*", "members.context"], ["ledger.post", "ledger.read", "members.context"]),
        (["checkout"], ["checkout"]),
        (["ledger.*", "ledger.read"], ["ledger.post", "ledger.read"]),
    ],
)
def test_patterns_stand_for_scopes(patterns: list[str], expected: list[str]) -> None:
    """A star stands for all there are, of a resource or of everything."""
    assert clients.expand_scopes(patterns, known=KNOWN) == tuple(expected)


@pytest.mark.parametrize("pattern", ["ledgers.*", "led*", "", "ledger."])
def test_pattern_that_stands_for_nothing_is_refused(pattern: str) -> None:
    """A pattern without a scope is a mistake of the operator."""
    with pytest.raises(errors.ScopeUnknown):
        clients.expand_scopes([pattern], known=KNOWN)


@given(
    st.frozensets(st.sampled_from(sorted(KNOWN))),
    st.none() | st.frozensets(st.sampled_from([*sorted(KNOWN), "other"])),
)
def test_token_never_carries_more_than_the_client_may(
    allowed: frozenset[str], asked: frozenset[str] | None
) -> None:
    """Narrowing keeps inside of both sets, or refuses."""
    narrowed = clients.narrow_scopes(allowed, asked=asked)
    if asked is None:
        assert narrowed == tuple(sorted(allowed))
    elif asked and asked <= allowed:
        assert narrowed == tuple(sorted(asked))
    else:
        assert narrowed is None


@pytest.mark.parametrize(
    "text", ["", "ab", "A-client", "-pos", "pos_1", "a" * 65, "pos\n", "po\x00s"]
)
def test_what_is_no_client_id_is_recognised(text: str) -> None:
    """Nothing odd reaches the database."""
    assert not clients.is_client_id(text)


def test_contracts_name_the_scopes() -> None:
    """The scopes come from the methods of the contracts."""
    assert {"members.write", "clients.read", "ledger.post", "checkout"} <= scopes.known()
    assert "" not in scopes.known()
