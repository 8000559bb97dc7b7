"""Stand-ins for secret codes: what is kept of a cart, and how a repetition is known by it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.promotions import engine
from services.promotions.checkout import veils

RULESET = engine.compile((), version=1)
SALT = "rcp_1"


def open_to_all(code):
    rules = engine.Rules(
        title=engine.Text("Half"),
        trigger=engine.CouponTrigger(codes=(code,)),
        rewards=(engine.Reward(engine.PercentOff(5_000)),),
        combination=engine.Combination(engine.Lane.ITEM),
    )
    return engine.compile([engine.Campaign("cmp_1", 1, rules)], version=1)


def request_of(*codes):
    cart = checkout_pb2.Cart(store_id="s1", coupon_codes=codes)
    return checkout_service_pb2.CommitRequest(cart=cart)


async def test_calls_in_flight_do_not_wait_for_the_hashes():
    """A cart with as many codes as the contract allows keeps nobody else from being served."""
    turns = 0
    hashing = asyncio.create_task(
        veils.veil(request_of(*(f"CODE{n}" for n in range(50))), RULESET, salt=SALT)
    )
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    kept, secrets = await hashing
    assert turns > 50
    assert len(secrets) == 50
    assert all(map(veils.is_veiled, kept.cart.coupon_codes))


async def test_a_repetition_is_known_by_the_stand_ins():
    """However it is typed, and whether what was secret then is public now."""
    sent = request_of("abc-1", "XYZ")
    kept, secrets = await veils.veil(sent, RULESET, salt=SALT)
    assert set(secrets.values()) == {"ABC-1", "XYZ"}
    assert kept.cart.store_id == "s1"
    for repeated in (sent, kept, request_of("ABC-1", "xyz")):
        assert await veils.find_request_difference(kept, repeated, salt=SALT) == ""


@pytest.mark.parametrize(
    ("codes", "field"),
    [
        (("ABC-1", "OTHER"), "cart.coupon_codes[1]"),
        (("XYZ", "ABC-1"), "cart.coupon_codes[0]"),
        (("ABC-1",), "cart.coupon_codes[1]"),
    ],
)
async def test_other_codes_are_told_by_their_place(codes, field):
    """The first that differs."""
    kept, _ = await veils.veil(request_of("ABC-1", "XYZ"), RULESET, salt=SALT)
    assert await veils.find_request_difference(kept, request_of(*codes), salt=SALT) == field


async def test_a_stand_in_follows_from_the_purchase_too():
    """The same code stands in two receipts as two things."""
    one, other = [await veils.veil(request_of("ABC-1"), RULESET, salt=salt) for salt in "12"]
    assert one[0] != other[0]


async def test_codes_of_campaigns_are_kept_as_they_are():
    """They are no secret, and such a request is not even copied."""
    known = open_to_all("OPEN")
    sent = request_of("open")
    kept, secrets = await veils.veil(sent, known, salt=SALT)
    assert kept is sent
    assert not secrets
    mixed, secrets = await veils.veil(request_of("open", "SECRET"), known, salt=SALT)
    assert mixed.cart.coupon_codes[0] == "open"
    assert list(secrets.values()) == ["SECRET"]


def cart_by(phone):
    return checkout_pb2.Cart(store_id="s1", member_key=member_pb2.MemberKey(phone=phone))


def hidden(phone):
    return veils.hide_phone(cart_by(phone)).member_key.phone


@pytest.mark.parametrize(
    ("phone", "kept"),
    [
        ("+7 (916) 123-45-67", "*******4567"),
        ("89161234567", "*******4567"),
        ("123456", "**3456"),
        ("12345", "*2345"),
        ("no phone", "*****"),
        ("١٢٣٤٥٦٧", "***٤٥٦٧"),
    ],
)
def test_of_a_phone_the_last_digits_stay(phone, kept):
    assert hidden(phone) == kept


@given(st.text(min_size=5, max_size=32))
def test_a_hidden_phone_tells_four_digits_at_most_and_stays_hidden(phone):
    """Whatever a till sends, what is kept fits the contract and hides no further."""
    kept = hidden(phone)
    assert 5 <= len(kept) <= 32
    assert sum(one != "*" for one in kept) <= 4
    assert hidden(kept) == kept


async def test_a_repeated_phone_is_known_however_it_is_spelt():
    stored = veils.hide_phone(cart_by("89161234567"))
    assert not await veils.find_difference(stored, cart_by("8 916 123-45-67"), salt=SALT)
    assert await veils.find_difference(stored, cart_by("89161234568"), salt=SALT) == (
        "member_key.phone"
    )
    other = checkout_pb2.Cart(store_id="s1", member_key=member_pb2.MemberKey(card_number="4567"))
    assert await veils.find_difference(stored, other, salt=SALT)


def test_who_showed_a_card_is_kept_as_they_came():
    request = checkout_service_pb2.CommitRequest(
        cart=checkout_pb2.Cart(member_key=member_pb2.MemberKey(card_number="9161234567"))
    )
    assert veils.without_phone(request) is request
