"""Other words for what the form says: each is read as the word of ours that it stands for."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.conformance.promotions import cases, runner, spellings
from tools.conformance.promotions.cases import Case
from tools.conformance.promotions.runner import Verdict

FILE = Path(__file__).parents[2] / "conformance" / "promotions.json"
READ = (Verdict.PASSED, Verdict.DIFFERS)
CASES = [one for one in cases.read_file(FILE) if runner.run(one).verdict in READ]
KEYS = [
    (place, ours, other)
    for place, words in spellings.KEYS.items()
    for ours, others in words.items()
    for other in others.split()
]
VALUES = [
    (*path.split("."), ours, other)
    for path, words in spellings.VALUES.items()
    for ours, others in words.items()
    for other in others.split()
]


def find(plain: Any, wanted: str, place: str = "case") -> Iterator[dict[str, Any]]:
    """Yield the objects of one place of a case."""
    if isinstance(plain, list):
        for one in plain:
            yield from find(one, wanted, place)
    if isinstance(plain, dict):
        if place == wanted:
            yield plain
        for name, inner in spellings.INSIDE.get(place, {}).items():
            yield from find(plain.get(name), wanted, inner)


def verdicts(place: str, ours: str, other: str, key: str = "") -> set[Verdict]:
    """Return how cases with a word of ours end when they say another one; of three at most."""
    found: list[Verdict] = []
    for case in CASES:
        plain: Any = copy.deepcopy(dict(case.plain))
        said = 0
        for words in find(plain, place):
            if key and words.get(key) == ours:
                words[key] = other
                said += 1
            elif not key and words.get(ours) is not None and other not in words:
                words[other] = words.pop(ours)
                said += 1
        if said:
            found.append(runner.run(Case(case.case_id, "", "", plain)).verdict)
        if len(found) == 3:
            break
    return set(found)


@pytest.mark.parametrize(("place", "ours", "other"), KEYS)
def test_another_word_is_read_as_ours(place: str, ours: str, other: str):
    assert verdicts(place, ours, other) <= set(READ)


@pytest.mark.parametrize(("place", "key", "ours", "other"), VALUES)
def test_another_value_is_read_as_ours(place: str, key: str, ours: str, other: str):
    assert verdicts(place, ours, other, key) <= set(READ)


def test_most_words_of_the_table_are_said_by_some_case():
    """Without cases that say them the tests above would hold nothing."""
    assert sum(bool(verdicts(*one)) for one in KEYS) > len(KEYS) * 0.8


def shirt(reward: Any, cart: Any = None, total: str = "18", **campaign: Any) -> Case:
    """Return a case of a shirt at 20.00 that says its campaign in words of its own."""
    line = {"line": "L1", "sku": "shirt", "category": "x", "qty": 1, "unit_price": "20"}
    plain = {
        "id": "ONE",
        "campaigns": [{"id": "P", "trigger": {"type": "automatic"}, **reward, **campaign}],
        "cart": cart or {"lines": [line], "coupons": []},
        "expected": {"total": total},
    }
    return Case("ONE", "", "", plain)


TEN = {"type": "percent_off", "value": "10", "target": {"scope": "order"}}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(shirt({"actions": [TEN]}, rules=[]), id="a list of one action"),
        pytest.param(shirt({"reward": TEN}, minimumSpend="20"), id="camel case, on the campaign"),
        pytest.param(shirt({"reward": TEN}, min_spent="21", total="20"), id="too little is spent"),
        pytest.param(shirt({"reward": TEN}, min_items=2, total="20"), id="too few are bought"),
        pytest.param(shirt({"reward": TEN}, max_redemptions=5), id="a limit on the campaign"),
        pytest.param(
            shirt(
                {"effect": {"type": "percent_off", "value": "10", "target": {"targetType": "item"}}}
            ),
            id="a target's type",
        ),
        pytest.param(
            shirt(
                {"benefit": {**TEN, "target": {"scope": "item", "rules": {"skus": "shirt"}}}},
            ),
            id="one article, not in a list",
        ),
        pytest.param(
            shirt(
                {"reward": TEN},
                {"items": [{"id": "L1", "product_id": "shirt", "quantity": 1, "price": "20"}]},
            ),
            id="a cart of items",
        ),
        pytest.param(
            shirt({"benefits": [TEN, {**TEN, "value": "5"}]}, total="17.10"), id="two benefits"
        ),
    ],
)
def test_a_campaign_in_other_words_is_read(case: Case):
    outcome = runner.run(case)
    assert outcome.verdict is Verdict.PASSED, (outcome.gaps, outcome.differences)
    assert outcome.case is case


def test_a_word_of_ours_is_never_respelt():
    """What stands beside our word stays, and is told as unread."""
    said = {"reward": {**TEN, "max_amount": "1", "up_to": "5"}}
    assert spellings.respell({"campaigns": [said]}) == {"campaigns": [said]}
    outcome = runner.run(shirt(said, total="19"))
    assert outcome.verdict is Verdict.UNSUPPORTED
    assert outcome.gaps == ("unknown word: case.campaigns.reward.up_to",)


ITEM, ORDER = {"scope": "item"}, {"scope": "order"}
TIERS = [{"min_qty": 2, "percent": "5"}, {"min_qty": 3, "percent": "10"}]
THREE = (("a", 1, "10"), ("b", 1, "20"), ("c", 1, "30"))
ALIKE = (("a", 3, "10"),)


@pytest.mark.parametrize(
    ("reward", "lines", "total"),
    [
        ({"type": "bxgy", "buy": {"qty": 2}, "get": {"qty": 1, "percent": "100"}}, ALIKE, "20"),
        ({"type": "buy_n_get_m_free", "n": 2, "m": 1, "target": ITEM}, ALIKE, "20"),
        ({"type": "n_for_price", "n": 3, "price": "25", "target": ITEM}, ALIKE, "25"),
        ({"type": "second_item_percent", "percent": "50"}, ALIKE, "25"),
        ({"type": "nth_unit_free", "n": 3}, ALIKE, "20"),
        ({"type": "cheapest_percent_off", "percent": "50"}, THREE, "55"),
        ({"type": "cheapest_amount_off", "value": "5"}, THREE, "55"),
        ({"type": "most_expensive_percent_off", "percent": "50"}, THREE, "45"),
        ({"type": "n_cheapest_free", "n": 1}, THREE, "50"),
        ({"type": "cheapest_of_n_free", "n": 3}, THREE, "50"),
        ({"type": "volume_discount", "tiers": TIERS, "target": ITEM}, ALIKE, "27"),
        ({**TEN, "target": {"scope": "most_expensive"}}, THREE, "57"),
        ({**TEN, "target": {"scope": "items", "skus": ["a"]}}, THREE, "59"),
        ({"type": "amount_off", "value": "5", "per_amount": "10", "target": ORDER}, ALIKE, "15"),
    ],
    ids=lambda one: one.get("type") if isinstance(one, dict) else "",
)
def test_a_reward_of_another_name_is_read(
    reward: dict[str, Any], lines: tuple[tuple[str, int, str], ...], total: str
):
    listed = [
        {"line": sku, "sku": sku, "category": "x", "qty": quantity, "unit_price": price}
        for sku, quantity, price in lines
    ]
    case = shirt({"reward": reward}, {"lines": listed, "coupons": []}, total)
    outcome = runner.run(case)
    assert outcome.verdict is Verdict.PASSED, (outcome.gaps, outcome.differences)


def test_a_bound_of_each_unit_is_not_taken_for_one_of_the_whole():
    outcome = runner.run(shirt({"reward": {**TEN, "max_discount_per_unit": "1"}}, total="19"))
    assert outcome.verdict is Verdict.UNSUPPORTED


def both(total: str, words: dict[str, Any], other: dict[str, Any]) -> Case:
    """Return a case of 10 % and 20 % off 100.00, the two with words of their own."""
    line = {"line": "L1", "sku": "shirt", "category": "x", "qty": 1, "unit_price": "100"}
    automatic = {"trigger": {"type": "automatic"}}
    plain = {
        "id": "ONE",
        "campaigns": [
            {"id": "A", **automatic, "reward": TEN, **words},
            {"id": "B", **automatic, "reward": {**TEN, "value": "20"}, **other},
        ],
        "cart": {"lines": [line], "coupons": [], "store": "s1", "time": "2026-05-05T12:00:00Z"},
        "expected": {"total": total},
    }
    return Case("ONE", "", "", plain)


@pytest.mark.parametrize(
    ("total", "words", "other"),
    [
        ("90", {"individual_use": True}, {}),
        ("90", {"stacking": {"exclusive": True}}, {}),
        ("80", {"stackable": False}, {"stackable": False}),
        ("80", {"exclusive_group": "g"}, {"exclusive_group": "g"}),
        ("80", {"incompatible_with": ["B"]}, {}),
        ("72", {"stacking": {"mode": "multiplicative"}}, {"stacking": {"mode": "multiplicative"}}),
        ("76", {"limits": {"max_discount_per_order": "4"}, "priority": 0}, {"priority": 1}),
        ("80", {"limits": {"usage_limit": 5, "times_used": 5}}, {}),
        ("78", {"limits": {"budget": "100", "budget_used": "98"}, "priority": 0}, {"priority": 1}),
        ("80", {"validity": {"to": "2026-05-01T00:00:00Z"}}, {}),
        ("80", {"is_active": False}, {}),
        ("80", {"stores": ["s2"]}, {}),
    ],
    ids=lambda one: str(one) if isinstance(one, dict) else "",
)
def test_words_beside_those_of_a_campaign_are_read(
    total: str, words: dict[str, Any], other: dict[str, Any]
):
    outcome = runner.run(both(total, words, other))
    assert outcome.verdict is Verdict.PASSED, (outcome.gaps, outcome.differences)
