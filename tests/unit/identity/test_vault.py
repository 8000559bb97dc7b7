"""What is sealed, hashed and signed."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity import vault

ANNA = UUID(int=1)
BORIS = UUID(int=2)
BOX = vault.Vault(bytes(range(32)))
OTHER = vault.Vault(bytes(32))


@given(st.text())
def test_sealed_text_opens_again_and_does_not_show_through(text: str) -> None:
    """What goes in comes out; two sealings of one text differ."""
    person = BOX.create_person(ANNA)
    reopened = BOX.open_person(ANNA, person.wrapped_key)
    sealed = person.box.seal("phone", text)
    assert reopened.open("phone", sealed) == text
    if text:
        assert sealed != person.box.seal("phone", text)
        assert len(text) < 4 or text.encode() not in (sealed or b"")


def test_ciphertext_opens_only_where_it_belongs() -> None:
    """Moved to another field or member, changed, or under another master key, it stays shut."""
    anna, boris = BOX.create_person(ANNA), BOX.create_person(BORIS)
    sealed = anna.box.seal("phone", "+79161234567")
    assert sealed is not None
    for shut in (
        lambda: anna.box.open("email", sealed),
        lambda: boris.box.open("phone", sealed),
        lambda: anna.box.open("phone", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        lambda: anna.box.open("phone", sealed[:20]),
        lambda: anna.box.open("phone", b"\x02" + sealed[1:]),
        lambda: BOX.open_person(BORIS, anna.wrapped_key),
        lambda: OTHER.open_person(ANNA, anna.wrapped_key),
    ):
        with pytest.raises(vault.VaultError):
            shut()


def test_blind_index_is_equal_for_equals_alone() -> None:
    """The same phone is found again; as an e-mail, or under another key, it is another."""
    index = BOX.index("phone", "+79161234567")
    assert index == BOX.index("phone", "+79161234567")
    assert len(index) == 32
    others = {
        BOX.index("email", "+79161234567"),
        BOX.index("phone", "+79161234568"),
        BOX.index("phon", "e+79161234567"),
        OTHER.index("phone", "+79161234567"),
    }
    assert index not in others
    assert len(others) == 4


def test_one_master_key_gives_many_independent_keys() -> None:
    """The same words hashed for different purposes have nothing in common."""
    outputs = [
        BOX.index("a", "b").hex(),
        BOX.fingerprint("a", "b"),
        BOX.hash_secret("a", "b").hex(),
        BOX.check_value.hex(),
    ]
    assert len({text[:32] for text in outputs}) == len(outputs)


@pytest.mark.parametrize(
    "text", ["", "short", base64.b64encode(bytes(31)).decode(), "ä" * 44, "0" * 64]
)
def test_master_key_must_be_32_bytes_in_base64(text: str) -> None:
    """Anything else is refused before it encrypts anything."""
    with pytest.raises(ValueError, match=r".*"):
        vault.read_master_key(text)
