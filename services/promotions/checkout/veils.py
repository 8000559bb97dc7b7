"""What is kept of a cart: by it a repetition is known, but nothing is bought and nobody called.

Secret codes have stand-ins. A stand-in follows from the code and from the purchase that it was
shown with. It is a slow hash: nobody can try all codes for all purchases at once, and each trial
for one of them costs. So carts with many codes are hashed beside the calls in flight.

Of a phone the last four digits stay. No hash would hide it: there are too few phones.
"""

import asyncio
import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2, reservation_service_pb2

from services.chassis import differences
from services.promotions import engine

#: No code that is issued begins like this, and the contract lets it pass for a cart of old.
_MARK = "--"
_ROUNDS = 5_000
_BYTES = 15
_DIGITS_SHOWN = 4
_HIDDEN = "*"
#: The contract's, for what is kept is read by it again.
_PHONE_LENGTH_MIN = 5

#: What brings a cart that is kept.
Request = TypeVar(
    "Request", checkout_service_pb2.CommitRequest, reservation_service_pb2.ReserveRequest
)


async def veil(
    request: Request, ruleset: engine.Ruleset, *, salt: str
) -> tuple[Request, Mapping[str, str]]:
    """Return a request as it is kept, and the secret codes of its cart by their stand-ins.

    Secret is what no campaign has; `salt` is the purchase's id.
    """
    unknown = engine.unknown_codes(ruleset, request.cart.coupon_codes)
    if not unknown:
        return request, {}
    stand_ins = await _stand_in(unknown, salt)
    kept = with_cart(request, _replace_codes(request.cart, stand_ins))
    return kept, {stand_in: code for code, stand_in in stand_ins.items()}


def is_veiled(code: str) -> bool:
    """Tell whether a code is only a stand-in, which stands for nothing by itself."""
    return code.startswith(_MARK)


def with_cart(request: Request, cart: checkout_pb2.Cart) -> Request:
    """Return a request with another cart, the one that is kept."""
    kept = type(request)()
    kept.CopyFrom(request)
    kept.cart.CopyFrom(cart)
    return kept


def without_phone(request: Request) -> Request:
    """Return a request as it is kept: with the last digits of its phone, if it has one."""
    if request.cart.member_key.WhichOneof("key") != "phone":
        return request
    return with_cart(request, hide_phone(request.cart))


def hide_phone(cart: checkout_pb2.Cart) -> checkout_pb2.Cart:
    """Return a cart with the last digits of its phone, if it has one; what is hidden stays so."""
    if cart.member_key.WhichOneof("key") != "phone":
        return cart
    hidden = checkout_pb2.Cart()
    hidden.CopyFrom(cart)
    hidden.member_key.phone = _mask(cart.member_key.phone)
    return hidden


async def find_request_difference(stored: Request, sent: Request, *, salt: str) -> str:
    """Return the path of the first field in which requests differ, whatever of them is veiled."""
    if difference := await find_difference(stored.cart, sent.cart, salt=salt):
        return f"cart.{difference}"
    return differences.find_difference(with_cart(stored, sent.cart), sent)


async def find_difference(stored: checkout_pb2.Cart, sent: checkout_pb2.Cart, *, salt: str) -> str:
    """Return the path of the first field in which carts differ, whatever of them is veiled."""
    if stored.member_key != sent.member_key:
        stored, sent = hide_phone(stored), hide_phone(sent)
    if stored.coupon_codes != sent.coupon_codes:
        # All codes of both: what was secret then may be public now.
        shown = {code.upper() for code in (*stored.coupon_codes, *sent.coupon_codes)}
        stand_ins = await _stand_in(shown, salt)
        stored, sent = (_replace_codes(cart, stand_ins) for cart in (stored, sent))
    return differences.find_difference(stored, sent)


def _replace_codes(cart: checkout_pb2.Cart, stand_ins: Mapping[str, str]) -> checkout_pb2.Cart:
    """Return a cart with stand-ins for the codes that have one."""
    hidden = checkout_pb2.Cart()
    hidden.CopyFrom(cart)
    hidden.coupon_codes[:] = [stand_ins.get(code.upper(), code) for code in cart.coupon_codes]
    return hidden


async def _stand_in(codes: Iterable[str], salt: str) -> dict[str, str]:
    """Return the stand-ins of codes in capitals; a stand-in is its own."""
    return await asyncio.to_thread(lambda: {code: _hash(code, salt) for code in codes})


def _hash(code: str, salt: str) -> str:
    if is_veiled(code):
        return code
    digest = hashlib.pbkdf2_hmac("sha256", code.encode(), salt.encode(), _ROUNDS, dklen=_BYTES)
    return _MARK + base64.b32encode(digest).decode()


def _mask(phone: str) -> str:
    """Return the digits of a phone, all but the last ones hidden; how it was spelt is lost."""
    digits = [one for one in phone if one.isdigit() or one == _HIDDEN]
    shown = "".join(digits[-_DIGITS_SHOWN:])
    return shown.rjust(max(len(digits), _PHONE_LENGTH_MIN), _HIDDEN)
