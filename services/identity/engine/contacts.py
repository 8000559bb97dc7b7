"""Phone numbers and e-mail addresses: one spelling for each, and a shape that hides most of it."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers

from services.identity import errors

_ATOM = r"[^\s@\"(),:;<>\[\\\].\x00-\x1f\x7f]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_DOMAIN_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_EXTENSIONS = ("", None)


class Kind(StrEnum):
    """What a contact is."""

    PHONE = "phone"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Contact:
    """A way to reach a member: `address` to write to, `lookup` the one spelling to find it by."""

    kind: Kind
    address: str
    lookup: str


def read_phone(text: str, *, region: str) -> Contact:
    """Return the phone in E.164 form.

    `region` is the ISO 3166 code by which numbers without a country code are read. Only the length
    is checked against the numbering plan: plans grow faster than copies of them, and a real number
    refused at the till is worse than a wrong one kept. Raises PhoneInvalid.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise errors.PhoneInvalid from None
    verdict = phonenumbers.is_possible_number_with_reason(number)
    if verdict != phonenumbers.ValidationResult.IS_POSSIBLE or number.extension not in _EXTENSIONS:
        raise errors.PhoneInvalid
    address = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return Contact(kind=Kind.PHONE, address=address, lookup=address)


def read_email(text: str) -> Contact:
    """Return the address with its domain in lower-case ASCII (IDNA).

    Mail servers may tell capitals in the local part apart, people do not: the address keeps them,
    the lookup does not. Quoted local parts and address literals are refused. Raises EmailInvalid.
    """
    local, _, host = unicodedata.normalize("NFC", text.strip()).rpartition("@")
    domain = _ascii_domain(host)
    labels = domain.split(".")
    well_formed = (
        _LOCAL_PART.fullmatch(local) is not None
        and len(local.encode()) <= 64
        and len(labels) >= 2
        and len(domain) <= 253
        and not labels[-1].isdigit()
        and all(_DOMAIN_LABEL.fullmatch(label) for label in labels)
    )
    if not well_formed:
        raise errors.EmailInvalid
    return Contact(
        kind=Kind.EMAIL, address=f"{local}@{domain}", lookup=f"{local.casefold()}@{domain}"
    )


def mask_phone(phone: str) -> str:
    """Return the phone with only its last four digits shown, `+*******4567`; empty for empty."""
    return f"+{'*' * (len(phone) - 5)}{phone[-4:]}" if phone else ""


def _ascii_domain(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""
