"""The cases in `cases/*.yaml`, each a test that bears its title."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.promotions import engine
from tests.unit.promotions import marketing

_FOLDER = Path(__file__).parent / "cases"


def _load_cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{path.stem}: {case['case']}")
        for path in sorted(_FOLDER.glob("*.yaml"))
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("case", _load_cases())
def test_case_gives_what_the_marketer_expects(case):
    """A case's cart gets exactly what the case says, and its returns give back what they say."""
    ruleset = engine.compile([marketing.read_campaign(one) for one in case["campaigns"]], version=7)
    cart, facts = marketing.read_cart(case), marketing.read_facts(case)
    now = marketing.read_moment(case.get("now", "2026-03-04 12:00"))
    explain = engine.Explain.FULL if case.get("explain_all") else engine.Explain.CANDIDATES
    decision = engine.evaluate(ruleset, cart, facts, now=now, explain=explain)
    expected = case["expect"]
    assert _describe(decision, expected) == expected
    so_far = engine.ReturnedSoFar()
    for step in case.get("returns", []):
        returned = {str(line): int(count * 1_000) for line, count in step["back"].items()}
        answer = engine.price_return(
            ruleset, cart, facts, decision, now=now, returned=returned, before=so_far
        )
        wanted = {name: value for name, value in step.items() if name != "back"}
        assert _describe_return(answer, wanted) == wanted
        so_far = answer.so_far


def _describe(decision: engine.Decision, expected: dict[str, Any]) -> dict[str, Any]:
    """Return the decision in the words of the case, as far as the case speaks of it."""
    applied = [one for one in decision.outcomes if one.reason is engine.OutcomeReason.APPLIED]
    refused = [one for one in decision.outcomes if one.reason is not engine.OutcomeReason.APPLIED]
    words = {
        "pay": _number(decision.total_minor),
        "lines": {int(line.line_id): _number(line.total_minor) for line in decision.lines},
        "discounts": {one.campaign_id: _number(one.discount_minor) for one in applied},
        "parts": {
            int(line.line_id): {
                part.campaign_id: _number(part.discount_minor) for part in line.parts
            }
            for line in decision.lines
        },
        "points": {one.campaign_id: one.points for one in applied if one.points},
        "line_points": {int(line.line_id): line.points_earned for line in decision.lines},
        "lots": {
            name: {
                one.expire_days: one.points for one in decision.earnings if one.campaign_id == name
            }
            for name in {one.campaign_id for one in decision.earnings}
        },
        "paid_with_points": _number(decision.points_payment_minor),
        "points_spent": decision.points_spent,
        "points_may_pay": _number(decision.points_payment_max_minor),
        "why_not": {one.campaign_id or "-": one.reason.name for one in refused},
        "details": {one.campaign_id: dict(one.details) for one in decision.outcomes if one.details},
        "near": _describe_misses([one for one in refused if one.near_miss and one.near_miss.close]),
        "missing": _describe_misses(refused),
        "cashier_hears": _texts(decision, engine.MessageAudience.CASHIER),
        "receipt_says": _texts(decision, engine.MessageAudience.RECEIPT),
        "ledger": [_describe_charge(one) for one in decision.charges],
    }
    return {name: value for name, value in words.items() if name in expected}


def _describe_misses(refused: list[engine.Outcome]) -> dict[str, dict[str, float]]:
    return {
        one.campaign_id: {
            name: number
            for name, number in (
                ("money", _number(one.near_miss.amount_minor)),
                ("units", one.near_miss.quantity_thousandths / 1_000),
            )
            if number
        }
        for one in refused
        if one.near_miss
    }


def _number(minor: int) -> float:
    return float(marketing.show_money(minor))


def _texts(decision: engine.Decision, audience: engine.MessageAudience) -> list[dict[str, str]]:
    return [
        {"en": message.text.en, "ru": message.text.ru}
        for message in decision.messages
        if message.audience is audience
    ]


def _describe_charge(charge: engine.Charge) -> dict[str, Any]:
    words = {
        "campaign": charge.campaign_id,
        "code": charge.code,
        "burns": charge.personal,
        "use": charge.uses,
        "member_use": charge.member_uses,
        "budget": _number(charge.budget_minor),
        "stamps": charge.stamps and {"card": charge.stamps.card_id, "count": charge.stamps.count},
    }
    return {name: value for name, value in words.items() if value}


def _describe_return(answer: engine.ReturnDecision, wanted: dict[str, Any]) -> dict[str, Any]:
    remaining = answer.remaining
    words = {
        "refund": _number(answer.refund_minor),
        "points_restored": answer.points_restored,
        "points_clawed_back": answer.points_clawed_back,
        "complete": answer.complete,
        "rest_costs": _number(remaining.total_minor) if remaining else 0.0,
        "rest_why_not": {
            one.campaign_id: one.reason.name
            for one in (remaining.outcomes if remaining else ())
            if one.reason is not engine.OutcomeReason.APPLIED
        },
    }
    return {name: value for name, value in words.items() if name in wanted}
