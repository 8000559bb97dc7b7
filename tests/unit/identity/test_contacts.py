"""Phones and e-mail addresses."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity import errors
from services.identity.engine import contacts

PHONES = [
    ("+7 (916) 123-45-67", "RU", "+79161234567"),
    ("8 916 123 45 67", "RU", "+79161234567"),
    ("9161234567", "RU", "+79161234567"),
    ("89161234567", "KZ", "+79161234567"),
    ("0044 20 8366 1177", "GB", "+442083661177"),
    ("020 8366 1177", "GB", "+442083661177"),
    ("(253) 555-0100", "US", "+12535550100"),
    ("+39 06 698 12345", "US", "+390669812345"),
    ("тел. +7 916 123-45-67", "RU", "+79161234567"),
    ("\uff19\uff11\uff16 1234567", "RU", "+79161234567"),  # full-width digits
]


@pytest.mark.parametrize(("text", "region", "expected"), PHONES)
def test_every_spelling_of_a_phone_is_read_as_one(text: str, region: str, expected: str) -> None:
    """Spaces, trunk prefixes and national spellings fall away."""
    phone = contacts.read_phone(text, region=region)
    assert phone == contacts.Contact(contacts.Kind.PHONE, expected, expected)


@pytest.mark.parametrize(
    "text",
    [
        "12",
        "phone",
        "+7 916",
        "+999 123 456 789",
        "+7916123456789012",
        "555-0100",  # without an area code: it exists, but where?
        "+7 916 123-45-67 ext. 12",
        "",
        "+",
        "\x00" * 5,
    ],
)
def test_what_cannot_be_a_phone_is_refused(text: str) -> None:
    """Wrong lengths, unknown countries and extensions identify nobody."""
    with pytest.raises(errors.PhoneInvalid):
        contacts.read_phone(text, region="US")


@given(st.text(max_size=32))
def test_any_text_is_a_phone_or_refused(text: str) -> None:
    """Nothing but PhoneInvalid ever leaves, and what is read is read again unchanged."""
    try:
        phone = contacts.read_phone(text, region="RU")
    except errors.PhoneInvalid:
        return
    assert contacts.read_phone(phone.address, region="US") == phone


@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
def test_example_phones_of_every_country_are_read(region: str) -> None:
    """National and international spellings of a country's own example lead to the same number."""
    example = phonenumbers.example_number(region)
    assert example is not None
    international = phonenumbers.format_number(
        example, phonenumbers.PhoneNumberFormat.INTERNATIONAL
    )
    national = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
    assert contacts.read_phone(international, region="RU") == contacts.read_phone(
        national, region=region
    )


EMAILS = [
    ("anna@example.com", "anna@example.com", "anna@example.com"),
    (" Anna.Ivanova@Example.COM\n", "Anna.Ivanova@example.com", "anna.ivanova@example.com"),
    ("a+tag@mail.example.co.uk", "a+tag@mail.example.co.uk", "a+tag@mail.example.co.uk"),
    ("o'brien@example.com", "o'brien@example.com", "o'brien@example.com"),
    ("Анна@пример.рф", "Анна@xn--e1afmkfd.xn--p1ai", "анна@xn--e1afmkfd.xn--p1ai"),
    ("STRASSE@example.com", "STRASSE@example.com", "strasse@example.com"),
]


@pytest.mark.parametrize(("text", "address", "lookup"), EMAILS)
def test_email_keeps_its_spelling_and_is_found_by_another(
    text: str, address: str, lookup: str
) -> None:
    """The address is kept as people write it; capitals do not hide it from a lookup."""
    assert contacts.read_email(text) == contacts.Contact(contacts.Kind.EMAIL, address, lookup)


@pytest.mark.parametrize(
    "text",
    [
        "anna",
        "@example.com",
        "anna@",
        "anna@example",
        "anna@@example.com",
        "an na@example.com",
        ".anna@example.com",
        "anna.@example.com",
        "a..b@example.com",
        "anna@-example.com",
        "anna@example..com",
        "anna@192.168.1.1",
        "anna@[192.168.1.1]",
        '"anna"@example.com',
        "anna@example.com, boris@example.com",
        "anna\x00@example.com",
        "a" * 65 + "@example.com",
        "anna@" + "a" * 64 + ".com",
        "<script>@example.com",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Quoted parts, literals, lists and control characters are refused."""
    with pytest.raises(errors.EmailInvalid):
        contacts.read_email(text)


@given(st.text(max_size=40) | st.from_regex(r"[\w.+-]{1,20}@[\w.-]{1,20}", fullmatch=True))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """Nothing but EmailInvalid ever leaves, and what is read is read again unchanged."""
    try:
        email = contacts.read_email(text)
    except errors.EmailInvalid:
        return
    assert contacts.read_email(email.address) == email
    assert contacts.read_email(email.lookup).lookup == email.lookup


@pytest.mark.parametrize(
    ("phone", "masked"), [("+79161234567", "+*******4567"), ("+4712345", "+***2345"), ("", "")]
)
def test_mask_shows_the_last_four_digits(phone: str, masked: str) -> None:
    """A cashier can compare the end of a number and copy nothing."""
    assert contacts.mask_phone(phone) == masked
