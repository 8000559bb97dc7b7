"""Editors and the reader agree on what is a file."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from services.promotions import text
from services.promotions.text import nodes, writing
from tests.unit.promotions_text import messages

SCHEMA = text.make_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
TEMPLATES = sorted((Path(text.__file__).parent.parent / "templates").glob("*.yaml"))
SAMPLE = """
currency: USD
campaigns:
  sample:
    title: {en: Sample, ru: Образец}
    trigger: {coupon: {codes: [ABC], personal: true}}
    validity:
      period: {start_time: 2026-03-01T00:00:00Z, end_time: "2026-04-01T00:00:00+03:00"}
      weekdays: [monday, sunday]
      hours: ["18:00-20:00"]
    audience: {membership: members, channels: [till, app], store_ids: [1, "2"]}
    condition: {all: [{basket_total: {amount_min: 5.00 USD}}, {expression: "total_minor > 5"}]}
    rewards:
      - {percent_off: 12.5%, target: {category_ids: dairy}, amount_max: 5.00 USD}
    combination: {lane: coupon, priority: -3, stop: true}
    limits: {uses_max: 5, budget: 100.00 USD}
"""


def agree(written):
    """Return what both say; they must say the same."""
    seen = not list(VALIDATOR.iter_errors(nodes.plain(written)))
    problems = text.read(written).problems
    assert seen == (not problems), problems or list(VALIDATOR.iter_errors(nodes.plain(written)))
    return seen


def test_the_schema_is_one():
    """It conforms to the dialect it names."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_both_accept_what_is_shipped(path):
    """Every file of the package."""
    assert agree(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: {en: Sample, ru: Образец}", "title: Sample"),
        ("trigger: {coupon: {codes: [ABC], personal: true}}", "trigger: {coupon: ABC}"),
        ("trigger: {coupon: {codes: [ABC], personal: true}}", "trigger: {coupon: [ABC, DEF]}"),
        ("[monday, sunday]", "monday"),
        ('["18:00-20:00"]', "18:00-20:00"),
        ("12.5%", "{percent: 12.5 %}"),
        ('[1, "2"]', "01"),
        ("amount_max: 5.00 USD", "pick: {count_max: 2}"),
        ("100.00 USD", "100 USD"),
        ("{lane: coupon, priority: -3, stop: true}", "coupon"),
        ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00.5Z"),
    ],
)
def test_both_accept_other_ways_to_say_it(old, new):
    """Brief forms, single values for lists, units with and without decimals."""
    assert old in SAMPLE
    assert agree(SAMPLE)
    assert agree(SAMPLE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("currency: USD", "currency: dollars"),
        ("currency: USD\n", ""),
        ("  sample:", "  Sample One:"),
        ("    title:", "    titel:"),
        ("title: {en: Sample, ru: Образец}", "title: {de: Muster}"),
        ("ABC", "A"),
        ("personal: true", "personal: maybe"),
        ("2026-03-01T00:00:00Z", "2026-03-01"),
        ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00"),
        ("[monday, sunday]", "[mon]"),
        ("18:00-20:00", "18-20"),
        ("membership: members", "membership: friends"),
        ("[till, app]", "[till, unspecified]"),
        ("amount_min: 5.00 USD", "amount_min: 5.00"),
        ("12.5%", "12.5"),
        ("12.5%", "12.555%"),
        ("amount_max: 5.00 USD", "amount_max: -5"),
        ("lane: coupon", "lane: unspecified"),
        ("priority: -3", "priority: 1.5"),
        ("priority: -3", "priority: 5000"),
        ("uses_max: 5", "uses_max: -5"),
        ("    limits:", "    limit:"),
        ("{all: [", "{any: [], all: ["),
        ("{all: [{basket_total", "{all: [{}, {basket_total"),
        ("    combination: {lane: coupon, priority: -3, stop: true}\n", ""),
        ("rewards:\n      - {percent_off", "rewards: []\n    x:\n      - {percent_off"),
    ],
)
def test_both_refuse_what_is_wrong(old, new):
    """Words, forms of values, bounds of numbers and lists, what is required, one of several."""
    assert old in SAMPLE
    assert not agree(SAMPLE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("5.00 USD}}", "5.00 RUB}}"),
        ("amount_min: 5.00 USD", "amount_min: 5.001 USD"),
        ('end_time: "2026-04-01T00:00:00+03:00"', "end_time: 2025-04-01T00:00:00Z"),
        ("total_minor > 5", "totl > 5"),
        ("12.5%", "200%"),
        ("lane: coupon", "lane: earn"),
    ],
)
def test_only_the_reader_knows_what_depends_on_more_than_one_field(old, new):
    """The schema is for editors; the reader has the last word."""
    written = SAMPLE.replace(old, new)
    assert not list(VALIDATOR.iter_errors(nodes.plain(written)))
    assert text.read(written).problems


PROGRAMS = """
currency: USD
programs:
  club:
    title: {en: Club, ru: Клуб}
    tiers:
      measure: {kind: spend, filter: {category_ids: [bakery]}}
      calendar: year
      tiers:
        - {tier_id: base, title: Base, from_amount: 0 USD}
        - {tier_id: gold, title: Gold, from_amount: 1000.00 USD, privileges: [priority_return]}
      downgrade: never
  streak:
    title: Streak
    challenge: {measure: visits, goal: 2, weeks: 4, first_date: 2027-03-01, reward: {points: 50}}
"""


def test_both_accept_programs():
    """Alone in a file, or beside campaigns."""
    assert agree(PROGRAMS)
    assert agree(SAMPLE + PROGRAMS.partition("USD\n")[2])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("programs:", "promises:"),
        ("calendar: year", "calendar: week"),
        ("calendar: year", "calendar: year\n      rolling: 30"),
        ("measure: visits", "measure: unspecified"),
        ("1000.00 USD", "1000.001"),
        ("2027-03-01", "2027-03-01T00:00:00Z"),
        ("{points: 50}", "{points: 0}"),
        ("tier_id: gold", "tier_id: Gold"),
        ("    title: Streak\n", ""),
    ],
)
def test_both_refuse_programs_that_are_wrong(old, new):
    """In the same way as campaigns."""
    assert old in PROGRAMS
    assert not agree(PROGRAMS.replace(old, new))


@settings(max_examples=150)
@given(messages.rules)
def test_no_word_that_is_written_is_unknown_to_editors(rules):
    """Whatever the writer writes, the schema knows the words of, if not the values."""
    written = writing.dump(
        {"currency": "USD", "campaigns": {"a": writing.write_rules(rules, currency="USD")}}
    )
    plain = nodes.plain(written)
    known = copy.deepcopy(SCHEMA)
    _walk(plain["campaigns"]["a"], known["$defs"]["CampaignRules"], known["$defs"])


def _walk(plain, schema, definitions):
    """Follow a value into the schema as far as it is made of mappings and lists."""
    schemas = _flatten(schema, definitions)
    if isinstance(plain, dict):
        known: dict[str, Any] = {}
        for one in schemas:
            known |= one.get("properties", {})
        assert plain.keys() <= known.keys()
        for word, value in plain.items():
            _walk(value, known[word], definitions)
    elif isinstance(plain, list):
        items = [one["items"] for one in schemas if "items" in one]
        assert items
        for value in plain:
            _walk(value, items[0], definitions)


def _flatten(schema, definitions):
    if "$ref" in schema:
        return _flatten(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema and "properties" not in schema:
        return [one for part in schema["anyOf"] for one in _flatten(part, definitions)]
    return [schema]
