"""Secret codes in what is kept: stand-ins by which a repetition is known and nothing is bought.

A stand-in follows from the code and from the purchase that it was shown with. It is a slow hash:
nobody can try all codes for all purchases at once, and each trial for one of them costs.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2, reservation_service_pb2

from services.chassis import differences
from services.promotions import engine

#: No code that is issued begins like this, and the contract lets it pass for a cart of old.
_MARK = "--"
_ROUNDS = 5_000
_BYTES = 15

#: What brings a cart that is kept.
Request = TypeVar(
    "Request", checkout_service_pb2.CommitRequest, reservation_service_pb2.ReserveRequest
)


@dataclass(frozen=True, slots=True)
class Veiled:
    """A cart with stand-ins for its secret codes, and the codes by their stand-ins."""

    cart: checkout_pb2.Cart
    secrets: Mapping[str, str]


def veil(cart: checkout_pb2.Cart, ruleset: engine.Ruleset, *, salt: str) -> Veiled:
    """Return a cart without the codes that no campaign has; `salt` is the purchase's id."""
    if not cart.coupon_codes:
        return Veiled(cart, {})
    codes = engine.unknown_codes(ruleset, cart.coupon_codes)
    unknown = {code: _stand_in(code, salt) for code in codes}
    veiled = checkout_pb2.Cart()
    veiled.CopyFrom(cart)
    veiled.coupon_codes[:] = [unknown.get(code.upper(), code) for code in cart.coupon_codes]
    return Veiled(veiled, {stand_in: code for code, stand_in in unknown.items()})


def is_veiled(code: str) -> bool:
    """Tell whether a code is only a stand-in, which stands for nothing by itself."""
    return code.startswith(_MARK)


def with_cart(request: Request, cart: checkout_pb2.Cart) -> Request:
    """Return a request with another cart, the one that is kept."""
    kept = type(request)()
    kept.CopyFrom(request)
    kept.cart.CopyFrom(cart)
    return kept


def find_request_difference(stored: Request, sent: Request, *, salt: str) -> str:
    """Return the path of the first field in which requests differ, whichever codes are veiled."""
    if difference := find_difference(stored.cart, sent.cart, salt=salt):
        return f"cart.{difference}"
    return differences.find_difference(with_cart(stored, sent.cart), sent)


def find_difference(stored: checkout_pb2.Cart, sent: checkout_pb2.Cart, *, salt: str) -> str:
    """Return the path of the first field in which carts differ, whichever codes are veiled."""
    return differences.find_difference(_hide(stored, salt), _hide(sent, salt))


def _hide(cart: checkout_pb2.Cart, salt: str) -> checkout_pb2.Cart:
    """Return a cart with stand-ins for all codes: what was secret then may be public now."""
    if not cart.coupon_codes:
        return cart
    hidden = checkout_pb2.Cart()
    hidden.CopyFrom(cart)
    hidden.coupon_codes[:] = [_stand_in(code.upper(), salt) for code in cart.coupon_codes]
    return hidden


def _stand_in(code: str, salt: str) -> str:
    if is_veiled(code):
        return code
    digest = hashlib.pbkdf2_hmac("sha256", code.encode(), salt.encode(), _ROUNDS, dklen=_BYTES)
    return _MARK + base64.b32encode(digest).decode()
