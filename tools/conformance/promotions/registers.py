"""Cases about what receipts take of a budget and give back, without any cart.

What is registered is written by the code that writes receipts and undone by the code that voids
them; a budget refuses what is more than it holds, as the ledger does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tessera.ledger.v1 import batch_pb2

from services.promotions import engine
from services.promotions.wire import batches
from tools.conformance.promotions.cases import Case
from tools.conformance.promotions.comparison import Difference
from tools.conformance.promotions.words import (
    Gaps,
    Unsupported,
    Words,
    read_list,
    read_minor,
    read_whole,
)

_KIND_SIGNS = ("register", "registration", "revert")
_REGISTER = ("register", "registrations", "registered", "usages", "uses", "actions", "amounts")
_REVERT = ("revert", "reverts", "reverted", "reversals")
_NAMES = ("campaign", "code", "promotion", "id")
_COUNTED = frozenset({"usage", "usage_per_attribute", "usage_by_attribute"})
_SHARED = "cmp_shared"
_MOMENT = datetime(2026, 3, 2, 12, tzinfo=UTC)
_TERMS = batches.Terms(
    points_asset="points",
    currency_code="USD",
    zone=ZoneInfo("UTC"),
    points=engine.PointsTerms(),
)


def is_about_registers(case: Case) -> bool:
    """Tell whether a case is about budgets alone."""
    event = case.plain.get("event")
    kind = str(event.get("type")) if isinstance(event, Mapping) else ""
    return any(sign in kind for sign in _KIND_SIGNS)


@dataclass(slots=True)
class _Budget:
    """What a campaign may take, in minor units or in uses, and what is taken of it."""

    limit: int
    used: int
    by_uses: bool
    accepted: bool = True


def compare(case: Case, gaps: Gaps) -> list[Difference]:
    """Return every difference between the budgets of the case and ours."""
    budgets = _read_budgets(case, gaps)
    registered, reverted = _read_event(Words(case.plain["event"], "event", gaps), budgets)
    posted: dict[str, list[_Posted]] = {}
    for name, amounts in registered.items():
        budget = budgets.get(name) or budgets.get(_SHARED)
        if budget is None:
            continue  # who registers for a campaign that is not there changes nothing
        # A use is one however much it takes off; of money each amount is registered for itself.
        for amount in [sum(amounts)] if budget.by_uses else amounts:
            one = _post(name, amount, budget)
            if budget.used + sum(one.moved) > budget.limit:
                budget.accepted = False
                continue
            budget.used += sum(one.moved)
            posted.setdefault(name, []).append(one)
    for name, amounts in reverted.items():
        _revert(name, amounts, posted.pop(name, []), budgets)
    return _compare(case, gaps, list({id(one): one for one in budgets.values()}.values()), budgets)


@dataclass(frozen=True, slots=True)
class _Posted:
    """What one registration has taken of a budget."""

    batch: batch_pb2.Batch
    moved: list[int]
    budget: _Budget


def _post(name: str, amount: int, budget: _Budget) -> _Posted:
    batch = _write(name, amount, by_uses=budget.by_uses)
    return _Posted(batch, [one.transfer.amount for one in batch.operations], budget)


def _revert(
    name: str, amounts: list[int], posted: list[_Posted], budgets: Mapping[str, _Budget]
) -> None:
    """Give back these amounts, or all that was registered; never more than has been used."""
    budget = budgets.get(name) or budgets.get(_SHARED)
    if any(amounts) and budget is not None:
        posted = [
            _post(name, amount, budget)
            for amount in ([sum(amounts)] if budget.by_uses else amounts)
            if amount
        ]
    for one in posted:
        undone = batches.build_undo(one.batch, one.moved, owes=False)
        one.budget.used -= min(one.budget.used, sum(part.reversal.amount for part in undone))


def _read_event(
    words: Words, budgets: Mapping[str, _Budget]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return what is registered and what is reverted: amounts by campaign."""
    kind = words.text("type")
    only = words.text(*_NAMES) or next(iter(budgets), "")
    first, then = words.take(*_REGISTER), words.take(*_REVERT)
    if kind.startswith("revert") and then is None:
        first, then = None, first
    words.close()
    return _read_moves(first, "event.register", only), _read_moves(then, "event.revert", only)


def _read_moves(found: object, where: str, only: str) -> dict[str, list[int]]:
    """Return amounts by campaign, written as an object, as entries, or as amounts of the only one.

    Names alone, in a list, are campaigns of which all is meant.
    """
    if isinstance(found, Mapping):
        return {
            name: [
                read_minor(one, where) for one in (taken if isinstance(taken, list) else [taken])
            ]
            for name, taken in found.items()
        }
    moves: dict[str, list[int]] = {}
    for one in read_list(found, where):
        if isinstance(one, Mapping):
            words = Words(one, where, Gaps())
            name, amount = words.text(*_NAMES) or only, words.minor("amount", "value")
            moves.setdefault(name, []).append(amount or 0)
        elif isinstance(one, str) and not _is_number(one):
            moves.setdefault(one, [])
        else:
            moves.setdefault(only, []).append(read_minor(one, where))
    return moves


def _is_number(text: str) -> bool:
    try:
        read_minor(text, "event")
    except Unsupported:
        return False
    return True


def _read_budgets(case: Case, gaps: Gaps) -> dict[str, _Budget]:
    """Return the budget of each campaign; one that several share stands under a name of its own."""
    found: dict[str, _Budget] = {}
    for place, plain in enumerate(read_list(case.plain.get("campaigns"), "campaigns")):
        whole = Words(plain, f"campaigns[{place}]", gaps)
        words = whole.open("limits").open("campaign_budget")
        if not words:
            continue
        kind, shared = words.text("type"), words.flag("shared")
        words.drop("attribute")
        if kind != "spend" and kind not in _COUNTED:
            raise Unsupported(f"unknown word: campaign_budget.type {kind}")
        by_uses = kind in _COUNTED
        read = words.whole if by_uses else words.minor
        budget = _Budget(read("limit") or 0, read("used") or _find_used(case, kind), by_uses)
        words.close()
        name = _SHARED if shared else whole.text("id") or f"#{place}"
        if found.setdefault(name, budget) != budget:
            raise Unsupported("one budget with two limits")
    return found


def _find_used(case: Case, kind: str) -> int:
    """Return what the shopper has used of a budget that counts by what it knows of shoppers."""
    if kind == "usage":
        return 0
    state = Words(case.part("state") or {}, "state", Gaps())
    counts = state.table("campaign_usage_by_attribute") or state.table("usage_by_attribute")
    cart = case.part("cart")
    member = cart.get("member") if isinstance(cart, Mapping) else None
    known = list(member.values()) if isinstance(member, Mapping) else []
    return max([read_whole(counts[name], "state") for name in counts if name in known], default=0)


def _write(name: str, amount: int, *, by_uses: bool) -> batch_pb2.Batch:
    """Return what a receipt with this discount posts."""
    limits = engine.Limits(uses_max=1) if by_uses else engine.Limits(budget_minor=1)
    rules = engine.Rules(
        title=engine.Text(name),
        rewards=(engine.Reward(engine.PercentOff(1)),),
        combination=engine.Combination(engine.Lane.ITEM),
        limits=limits,
    )
    ruleset = engine.compile([engine.Campaign(_SHARED, 1, rules)], version=1)
    nothing = engine.evaluate(
        ruleset,
        engine.Cart("store", engine.Channel.TILL, "USD", ()),
        engine.Facts(engine.Store(), {}),
        now=_MOMENT,
    )
    charge = engine.Charge(
        campaign_id=_SHARED,
        code=name,
        personal=False,
        uses=1 if by_uses else 0,
        member_uses=False,
        budget_minor=0 if by_uses else amount,
    )
    operations = batches.build_purchase(
        replace(nothing, charges=(charge,)),
        ruleset=ruleset,
        store_id="",
        member_id="",
        occurred_time=_MOMENT,
        terms=_TERMS,
    )
    return batch_pb2.Batch(batch_id=name, operations=operations)


def _compare(
    case: Case, gaps: Gaps, budgets: list[_Budget], by_name: Mapping[str, _Budget]
) -> list[Difference]:
    expected = Words(case.part("expected"), "expected", gaps)
    words = expected.open("budget")
    expected.drop("line_discounts", "not_applied", "result")
    found = [
        Difference(name, str(wanted), "0")
        for name in ("subtotal", "order_discount", "discount_total", "total")
        if (wanted := expected.minor(name))
    ]
    expected.close()
    for name, budget in by_name.items():
        if name in words:
            inner = words.open(name)
            found += _compare_one(inner, [budget], f"budget.{name}")
            inner.close()
    found += _compare_one(words, budgets, "budget")
    words.close()
    return found


def _compare_one(words: Words, budgets: list[_Budget], field: str) -> list[Difference]:
    by_uses = all(one.by_uses for one in budgets)
    read = words.whole if by_uses else words.minor
    used = sum(one.used for one in budgets)
    left = sum(one.limit for one in budgets) - used
    found = []
    for name, actual in (("used_after", used), ("used", used), ("left", left), ("remaining", left)):
        wanted = read(name)
        if wanted is not None and wanted != actual:
            found.append(Difference(f"{field}.{name}", str(wanted), str(actual)))
    accepted = all(one.accepted for one in budgets)
    wanted_answer = words.flag("accepted", default=accepted)
    if wanted_answer != accepted:
        found.append(Difference(f"{field}.accepted", str(wanted_answer), str(accepted)))
    return found
