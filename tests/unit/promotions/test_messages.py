"""What the cashier hears and the receipt says of gifts, coupons and stamps."""

from datetime import date

import pytest

from services.promotions import engine
from services.promotions.engine import messages

Reason = engine.OutcomeReason


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 наклейка"),
        (2, "2 наклейки"),
        (4, "4 наклейки"),
        (5, "5 наклеек"),
        (11, "11 наклеек"),
        (12, "12 наклеек"),
        (21, "21 наклейка"),
        (22, "22 наклейки"),
        (111, "111 наклеек"),
        (0, "0 наклеек"),
    ],
)
def test_russian_counts_with_the_right_form(count, words):
    """One, few, many, and the teens that are always many."""
    assert messages.count_in_russian(count, ("наклейка", "наклейки", "наклеек")) == words


def _write(**extras):
    cart = engine.Cart("S1", engine.Channel.TILL, "EUR", ())
    found = messages.write(
        (),
        cart=cart,
        terms=engine.PointsTerms(),
        earned=0,
        spent=0,
        extras=messages.Extras(**extras),
    )
    return [(one.audience.name, one.text.en, one.text.ru) for one in found]


def test_a_gift_is_handed_out_and_printed():
    """In both languages, with its article and how many units."""
    assert _write(gifts=(engine.Gift("c", "cup", 2, 0),)) == [
        ("CASHIER", "Hand out a gift: cup, 2 units", "Выдайте подарок: cup, 2 шт."),
        ("RECEIPT", "A gift for you: cup, 2 units", "Ваш подарок: cup, 2 шт."),
    ]


def test_a_choice_of_gifts_is_asked_for():
    """The cashier reads among what the shopper may choose."""
    assert _write(gift_offers=(engine.GiftOffer("c", ("cup", "plate"), 1),)) == [
        (
            "CASHIER",
            "The shopper may choose 1 of these gifts: cup, plate",
            "Покупатель может выбрать 1 подарок из: cup, plate",
        )
    ]


def test_what_would_be_cheaper_is_offered():
    """With how many units and by how much."""
    assert _write(gift_offers=(engine.GiftOffer("c", ("cup",), 2, 1_250),)) == [
        (
            "CASHIER",
            "Offer 2 units at 12.5% off: cup",
            "Предложите дешевле на 12,5 %: cup, 2 шт.",
        )
    ]


def test_coupons_and_stamps_are_printed():
    """What is taken comes before what is given."""
    told = _write(
        coupon_grants=(engine.CouponGrant("c", "later", 2, 14, bearer=False),),
        stamp_moves=(engine.StampMove("c", "coffee", 1, 9),),
    )
    assert told == [
        (
            "RECEIPT",
            "A coupon for later: 2 uses",
            "Купон на следующую покупку: 2 применения",
        ),
        ("RECEIPT", "Card coffee: 9 stamps taken", "Карта coffee. Списано: 9 наклеек"),
        ("RECEIPT", "Card coffee: 1 stamp more", "Карта coffee. Начислим: 1 наклейка"),
    ]


@pytest.mark.parametrize(
    ("last_day", "en", "ru"),
    [
        (None, "", ""),
        (date(2026, 3, 5), ", valid to 2026-03-05", ", до 05.03.2026"),
    ],
)
def test_a_printed_coupon_says_its_code_and_its_last_day(last_day, en, ru):
    """One that lives as long as its campaign has no day."""
    told = engine.tell_printed("ABCD-EFGH-JKMN", last_day)
    assert told.en == f"Your coupon for a next purchase: ABCD-EFGH-JKMN{en}"
    assert told.ru == f"Ваш купон на следующую покупку: ABCD-EFGH-JKMN{ru}"


def test_every_reason_has_words_for_a_coupon():
    """A cashier is never left without an answer to why a code does not work."""
    silent = {Reason.APPLIED, Reason.UNKNOWN_CODE, Reason.CODE_NOT_PRESENTED}
    assert set(messages._WHY_NOT) == set(Reason) - silent
