"""Refusals: what a caller reads, and what a mistake of ours does."""

import pytest

from services.chassis import errors


class CardUnknown(errors.Refusal):
    """Card {card_code} is not known
    in {place}.
    """

    category = errors.Category.NOT_FOUND
    reason = "CARD_UNKNOWN"
    domain = "identity.tessera"


class CardUnknownToday(CardUnknown):
    reason = "CARD_UNKNOWN_TODAY"


def test_message_is_the_docstring_with_its_fields():
    """The whole docstring is one sentence, whatever its line breaks."""
    refusal = CardUnknown(card_code="12", place="Omsk", attempt=3)
    assert refusal.message == "Card 12 is not known in Omsk."
    assert str(refusal) == refusal.message


def test_metadata_holds_every_field_as_text():
    """Fields that the message does not use travel as well."""
    refusal = CardUnknown(card_code="12", place="Omsk", attempt=3)
    assert refusal.metadata == {"card_code": "12", "place": "Omsk", "attempt": "3"}


def test_missing_field_is_a_defect_of_the_raiser():
    """A refusal that cannot be worded is never sent half-worded."""
    with pytest.raises(TypeError, match="CardUnknown needs place"):
        CardUnknown(card_code="12")


def test_braces_in_a_field_stay_text():
    """What a caller sent is never read as a template."""
    assert CardUnknown(card_code="{place}", place="x").message == "Card {place} is not known in x."


def test_refusals_are_equal_by_class_and_fields():
    """Engines return refusals, and their tests compare them."""
    assert CardUnknown(card_code="1", place="a") == CardUnknown(card_code="1", place="a")
    assert CardUnknown(card_code="1", place="a") != CardUnknown(card_code="1", place="b")
    assert CardUnknown(card_code="1", place="a") != CardUnknownToday(card_code="1", place="a")
    assert len({CardUnknown(card_code="1", place="a"), CardUnknown(card_code="1", place="a")}) == 1


def test_subclass_without_words_speaks_like_its_parent():
    """A docstring is inherited together with what it demands."""
    assert CardUnknownToday(card_code="1", place="a").message == "Card 1 is not known in a."
    with pytest.raises(TypeError):
        CardUnknownToday()


def test_invalid_request_names_the_first_field():
    """A person reads the first broken rule; a program reads them all."""
    violations = [
        errors.FieldViolation("lines[0].quantity", "must be positive", "int64.gt"),
        errors.FieldViolation("store_id", "is required", "required"),
    ]
    refusal = errors.InvalidRequest(violations)
    expected = "The request is not valid: lines[0].quantity: must be positive."
    assert refusal.message == expected
    assert refusal.violations == tuple(violations)


def test_categories_are_the_codes_of_grpc():
    """The numbers go on the wire."""
    grpc = pytest.importorskip("grpc")
    codes = {code.name: code.value[0] for code in grpc.StatusCode if code.value[0]}
    assert codes == {category.name: category.value for category in errors.Category}
