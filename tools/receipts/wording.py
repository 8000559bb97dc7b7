"""Receipts in words: for people who answer other people."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from tessera.ledger.v1 import adjustment_service_pb2
from tessera.promotions.v1 import checkout_pb2, receipt_service_pb2

from services.promotions.engine import currencies

_UNIT = 1_000
_COLUMNS = ("receipt", "when", "where", "number", "total", "off", "points", "member", "state")


def table(found: Iterable[receipt_service_pb2.ReceiptSummary]) -> Table:
    """Return receipts as rows for a screen; what is too wide is folded, never cut."""
    shown = Table(*(Column(name, overflow="fold") for name in _COLUMNS))
    for one in found:
        shown.add_row(*map(escape, _row(one)))
    return shown


def tabbed(found: Iterable[receipt_service_pb2.ReceiptSummary]) -> Iterator[str]:
    """Yield receipts as lines for programs, the names of the columns first."""
    yield "\t".join(_COLUMNS)
    for one in found:
        yield "\t".join(_row(one))


def _row(one: receipt_service_pb2.ReceiptSummary) -> tuple[str, ...]:
    key = one.receipt_key
    return (
        one.receipt_id,
        one.occurred_time.ToDatetime().strftime("%Y-%m-%d %H:%M"),
        f"{key.store_id}/{key.till_id}/{key.shift_id}",
        key.receipt_number,
        _money(one.total_minor, one.currency_code),
        _money(one.discount_minor, one.currency_code),
        f"+{one.points_earned} -{one.points_spent}",
        one.member_id or "-",
        _name(checkout_pb2.ReceiptState.Name(one.state), "RECEIPT_STATE_"),
    )


def put(console: Console, lines: Iterable[str]) -> None:
    """Print lines as they are: names of goods and campaigns may look like markup."""
    for line in lines:
        console.print(line, markup=False, highlight=False)


def explain(receipt: checkout_pb2.Receipt) -> Iterator[str]:
    """Yield a receipt as lines of text: goods, what each campaign gave, why others did not."""
    key, got = receipt.receipt_key, receipt.evaluation
    money = functools.partial(_money, currency_code=receipt.cart.currency_code)
    yield (
        f"{receipt.receipt_id} "
        f"{_name(checkout_pb2.ReceiptState.Name(receipt.state), 'RECEIPT_STATE_')}, "
        f"store {key.store_id}, till {key.till_id}, shift {key.shift_id}, "
        f"number {key.receipt_number}"
    )
    yield (
        f"happened {receipt.occurred_time.ToDatetime():%Y-%m-%d %H:%M:%S}, recorded "
        f"{receipt.record_time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC, "
        f"member {got.member_id or 'unknown'}, rule set {got.ruleset_version}"
    )
    titles = {one.campaign_id: one.title.en or one.campaign_id for one in got.outcomes}
    bought = {line.line_id: line for line in receipt.cart.lines}
    for line in got.lines:
        goods = bought[line.line_id]
        yield (
            f"  {goods.quantity_thousandths / _UNIT:g} x {goods.sku} at "
            f"{money(goods.unit_price_minor)} = {money(line.amount_minor)}"
            + (f", to pay {money(line.total_minor)}" if line.discount_minor else "")
        )
        for part in line.parts:
            gave = [f"{money(part.discount_minor)} off"] if part.discount_minor else []
            gave += [f"{part.points} points"] if part.points else []
            yield f"      {', '.join(gave)}: {titles.get(part.campaign_id, part.campaign_id)}"
    yield (
        f"total {money(got.total_minor)}, {money(got.discount_minor)} off, "
        f"{got.points_spent} points paid {money(got.points_payment_minor)}, "
        f"{got.points_earned} points earned"
    )
    yield from _explain_gifts(got, titles)
    yield from explain_others(got, receipt.cart.currency_code)
    yield from _explain_payments(receipt)
    yield from _explain_conflicts(receipt)
    for returned in receipt.returns:
        yield (
            f"returned {returned.return_id}: {money(returned.refund_minor)} in money, "
            f"{returned.points_restored} points given back, "
            f"{returned.points_clawed_back} taken back, "
            f"{returned.points_not_recovered} already spent, {returned.points_owed} owed, "
            f"{money(returned.gift_cards_not_refunded_minor)} never paid by gift cards"
        )
    yield from map(tell_compensation, receipt.compensations)


def _explain_payments(receipt: checkout_pb2.Receipt) -> Iterator[str]:
    """Yield what gift cards paid, and what is still to come or could not be taken back."""
    currency_code = receipt.cart.currency_code
    for paid in receipt.gift_card_payments:
        yield f"  gift card {paid.card_id} paid {_money(paid.amount_minor, currency_code)}"
    if receipt.settled_later:
        yield "  not settled yet: points and coupons are on their way"
    if receipt.state == checkout_pb2.RECEIPT_STATE_VOIDED:
        yield (
            f"  voided: {receipt.points_not_recovered} points already spent, "
            f"{receipt.points_owed} owed, "
            f"{_money(receipt.gift_cards_not_refunded_minor, currency_code)} "
            "never paid by gift cards"
        )


def _explain_conflicts(receipt: checkout_pb2.Receipt) -> Iterator[str]:
    for one in receipt.conflicts:
        kind = _name(checkout_pb2.ConflictKind.Name(one.kind), "CONFLICT_KIND_")
        about = f" of {one.campaign_id}" if one.campaign_id else ""
        bounds = ", beyond the bounds" if one.beyond_bounds else ""
        yield (
            f"  conflict, {kind}{about}: till {one.till_amount}, "
            f"platform {one.centre_amount}{bounds}"
        )


def _explain_gifts(got: checkout_pb2.Evaluation, titles: Mapping[str, str]) -> Iterator[str]:
    """Yield what the shopper got besides money and points: coupons for later, chances."""
    for grant in got.coupon_grants:
        where = "printed" if grant.bearer else "on the account"
        title = titles.get(grant.campaign_id, grant.campaign_id)
        yield f"  coupon for later, {where}, uses {grant.uses}: {title}"
    for draw in got.instant_draws:
        state = _name(checkout_pb2.InstantDrawState.Name(draw.state), "INSTANT_DRAW_STATE_")
        prize = f" {draw.title.en}" if draw.prize_index >= 0 else ""
        title = titles.get(draw.campaign_id, draw.campaign_id)
        yield f"  chance {draw.number}, {state}{prize}: {title}"


def explain_others(got: checkout_pb2.Evaluation, currency_code: str) -> Iterator[str]:
    """Yield why each campaign that gave nothing gave nothing, and what was missing to it."""
    for outcome in got.outcomes:
        if outcome.reason == checkout_pb2.OUTCOME_REASON_APPLIED:
            continue
        why = _name(checkout_pb2.OutcomeReason.Name(outcome.reason), "OUTCOME_REASON_")
        facts = ", ".join(f"{name} {value}" for name, value in sorted(outcome.details.items()))
        missing = []
        if outcome.near_miss.amount_minor:
            missing.append(f"{_money(outcome.near_miss.amount_minor, currency_code)} more")
        if outcome.near_miss.quantity_thousandths:
            missing.append(f"{outcome.near_miss.quantity_thousandths / _UNIT:g} units more")
        extra = "; ".join(filter(None, [facts, " and ".join(missing)]))
        title = outcome.title.en or outcome.campaign_id
        yield f"  not {title}: {why}" + (f" ({extra})" if extra else "")


def compare(answer: receipt_service_pb2.RerunReceiptResponse) -> Iterator[str]:
    """Yield what differs between a receipt and its rerun as lines of text."""
    yield (
        f"recorded by rule set {answer.recorded.ruleset_version}, "
        f"decided again by rule set {answer.rerun.ruleset_version}"
    )
    if not answer.differences:
        yield "nothing differs"
    money = functools.partial(_money, currency_code=answer.currency_code)
    for one in answer.differences:
        if one.field:
            write = money if one.field.endswith("_minor") else str
            yield f"  {one.field}: {write(one.recorded_minor)} -> {write(one.rerun_minor)}"
            continue
        yield (
            f"  {one.title.en or one.campaign_id}: "
            f"{_reason(one.recorded_reason)} -> {_reason(one.rerun_reason)}, "
            f"{money(one.recorded_minor)} -> {money(one.rerun_minor)} off, "
            f"{one.recorded_points} -> {one.rerun_points} points"
        )
    yield from map(tell_compensation, answer.compensations)


def tell_compensation(given: checkout_pb2.Compensation) -> str:
    """Return in a line what was to make a receipt good, and what has become of it."""
    state = _name(adjustment_service_pb2.AdjustmentState.Name(given.state), "ADJUSTMENT_STATE_")
    why_not = f" ({given.refusal_reason})" if given.refusal_reason else ""
    return f"  {given.points} points by {given.client_id}, {state}{why_not}: {given.cause}"


def _reason(reason: checkout_pb2.OutcomeReason.ValueType) -> str:
    if not reason:
        return "not looked at"
    return _name(checkout_pb2.OutcomeReason.Name(reason), "OUTCOME_REASON_")


def _name(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")


def _money(amount_minor: int, currency_code: str) -> str:
    """Return an amount with as many decimals as its currency has."""
    decimals = currencies.decimals_of(currency_code)
    return f"{Decimal(amount_minor).scaleb(-decimals):.{decimals}f}"
