"""What is written is read as the same message."""

from hypothesis import given, settings
from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.promotions.text import nodes, reading, words, writing
from tests.unit.promotions_text import messages

CURRENCY = "USD"


def read(text: str, kind=campaign_pb2.CampaignRules):
    reader, root = reading.Reader(CURRENCY), nodes.compose(text)
    assert root is not None
    made = reading.parse_rules(reader, root, kind())
    assert reader.problems == []
    return made


@settings(max_examples=300)
@given(messages.rules)
def test_any_message_survives_twice(rules):
    """Message to text to message to text: both messages are equal, and so are both texts."""
    text = writing.dump(writing.write_rules(rules, currency=CURRENCY))
    again = read(text)
    assert again == rules
    assert writing.dump(writing.write_rules(again, currency=CURRENCY)) == text


@settings(max_examples=300)
@given(messages.programs)
def test_any_program_survives_twice(rules):
    """The same for programs, whose numbers are money or not by what they measure."""
    text = writing.dump(writing.write_rules(rules, currency=CURRENCY))
    again = read(text, program_pb2.ProgramRules)
    assert again == rules
    assert writing.dump(writing.write_rules(again, currency=CURRENCY)) == text


def _kinds():
    """Return every message that rules are made of."""
    found, waiting = {}, [words.RULES, words.PROGRAM]
    while waiting:
        kind = waiting.pop()
        if kind.full_name not in found:
            found[kind.full_name] = kind
            waiting += [one.message_type for one in kind.fields if one.message_type]
    return list(found.values())


def test_words_mean_one_field_each():
    """No two fields of a message are called the same, nor two values of an enumeration."""
    for kind in _kinds():
        assert len(words.fields_of(kind)) == len(kind.fields), kind.full_name
        for one in kind.fields:
            if one.enum_type is not None:
                assert len(words.values_of(one.enum_type)) == len(one.enum_type.values)


def test_brief_forms_are_of_messages_that_exist():
    """A message that was renamed takes its brief form along."""
    assert {kind.name for kind in _kinds()} >= words.BRIEF


def test_brief_forms_cannot_be_taken_for_mappings():
    """The first field of such a message is a single value or a list, never a mapping."""
    for kind in _kinds():
        if kind.name in words.BRIEF:
            first = kind.fields[0]
            assert first.message_type is None or first.is_repeated, kind.name


def test_paths_translate_both_ways():
    """Fields are called in words in both directions."""
    for path, said in (
        ("rewards[0].percent_off.basis_points", "rewards[0].percent_off.percent"),
        ("condition.not.basket_total.amount_min_minor", "condition.not.basket_total.amount_min"),
        ("validity.period", "validity.period"),
        ("limits.none", "limits.none"),
    ):
        assert words.to_words(path) == said
        assert words.from_words(said) == path
