"""Cases about what receipts take of a budget and give back, without any cart.

What is registered is written by the code that writes receipts and undone by the code that voids
them; a budget refuses what is more than it holds, as the ledger does.
"""

from collections.abc import Mapping
from dataclasses import replace
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
    read_names,
)

_KINDS = frozenset({"register", "register_then_revert"})
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
    return isinstance(event, Mapping) and event.get("type") in _KINDS


def compare(case: Case, gaps: Gaps) -> list[Difference]:
    """Return every difference between the budget of the case and ours."""
    limit, used, by_uses = _read_budget(case, gaps)
    event = Words(case.plain["event"], "event", gaps)
    event.drop("type")
    registered = event.take("register", default={})
    reverted = read_names(event.take("revert", default=[]), "event.revert")
    event.close()
    if not isinstance(registered, Mapping):
        raise Unsupported("registrations that are not by campaign")
    left, accepted = limit - used, True
    posted = {}
    for name, amounts in registered.items():
        amount = sum(read_minor(one, "event.register") for one in read_list(amounts, "register"))
        batch = _write(name, amount, by_uses=by_uses)
        moved = [operation.transfer.amount for operation in batch.operations]
        if sum(moved) > left:
            accepted = False
            continue
        left -= sum(moved)
        posted[name] = (batch, moved)
    for name in reverted:
        if name in posted:
            batch, moved = posted.pop(name)
            left += sum(one.reversal.amount for one in batches.build_undo(batch, moved))
    return _compare(case, gaps, limit - left, accepted=accepted, by_uses=by_uses)


def _read_budget(case: Case, gaps: Gaps) -> tuple[int, int, bool]:
    """Return the limit, what is used of it, and whether it counts uses and not money."""
    found = []
    for place, plain in enumerate(read_list(case.plain.get("campaigns"), "campaigns")):
        whole = Words(plain, f"campaigns[{place}]", gaps)
        words = whole.open("limits").open("campaign_budget")
        kind = words.text("type")
        words.drop("shared")
        if kind not in {"spend", "usage"}:
            raise Unsupported(f"unknown word: campaign_budget.type {kind}")
        by_uses = kind == "usage"
        read = words.whole if by_uses else words.minor
        found.append((read("limit") or 0, read("used") or 0, by_uses))
        words.close()
    if len(set(found)) != 1:
        raise Unsupported("registrations in several budgets")
    return found[0]


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
    case: Case, gaps: Gaps, used: int, *, accepted: bool, by_uses: bool
) -> list[Difference]:
    expected = Words(case.part("expected"), "expected", gaps)
    budget = expected.open("budget")
    expected.drop("line_discounts")
    found = [
        Difference(name, str(wanted), "0")
        for name in ("subtotal", "order_discount", "discount_total", "total")
        if (wanted := expected.minor(name))
    ]
    expected.close()
    for name in ("used_after", "used"):
        wanted = budget.whole(name) if by_uses else budget.minor(name)
        if wanted is not None and wanted != used:
            found.append(Difference(f"budget.{name}", str(wanted), str(used)))
    wanted_answer = budget.flag("accepted", default=accepted)
    if wanted_answer != accepted:
        found.append(Difference("budget.accepted", str(wanted_answer), str(accepted)))
    budget.close()
    return found
