"""What a receipt moves in the ledger: one batch for a purchase, one to undo it, one per return.

The operations of a purchase stand in a fixed order: coupons and stamps are burnt, uses counted,
budgets drawn, points redeemed, points earned. What is most likely gone comes first, and points that
a purchase earns cannot pay for it. Prizes come last: when one is gone, the rest stands.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from google.protobuf import duration_pb2
from tessera.ledger.v1 import account_pb2, batch_pb2, error_reason_pb2
from tessera.promotions.v1 import checkout_pb2

from services.chassis import timestamps
from services.promotions import engine, errors
from services.promotions.wire import accounts

#: The most that the ledger takes in one batch.
OPERATIONS_MAX = 200

#: Operations of a purchase that a partial return leaves alone and a whole return gives back.
_KEPT = frozenset({account_pb2.TRANSFER_REASON_BURN, account_pb2.TRANSFER_REASON_COUNT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an installation says about value."""

    points_asset: str
    currency_code: str
    #: Where days of points end.
    zone: ZoneInfo
    points: engine.PointsTerms
    cap: engine.ReceiptCap = field(default_factory=engine.ReceiptCap)
    #: The partners that stores belong to, by store: they give points out and take them in.
    partners: Mapping[str, str] = field(default_factory=dict)
    #: Whether points are owed that are to be taken back and were spent; else they are forgiven.
    owes: bool = False


def build_purchase(
    decision: engine.Decision,
    *,
    ruleset: engine.Ruleset,
    member_id: str,
    store_id: str,
    occurred_time: datetime,
    terms: Terms,
) -> list[batch_pb2.Operation]:
    """Return what a purchase takes and gives, in order; empty when it moves nothing of value.

    Points go to and come from the account of the store's partner, if it has one.

    Raises AmountOutOfRange when it is more than the ledger takes in one batch.
    """
    partner_id = terms.partners.get(store_id, "")
    operations = [
        batch_pb2.Operation(transfer=transfer)
        for transfer in (
            *_coupons(decision, member_id),
            *_stamps(decision, member_id),
            *_uses(decision, member_id, ruleset),
            *_budgets(decision, terms),
            *_prices(decision, member_id, partner_id, terms),
            *_redeemed(decision, member_id, partner_id, terms),
            *_earned(decision, member_id, partner_id, occurred_time, terms),
            *_stamps_earned(decision, member_id),
            *_coupons_granted(decision, member_id, ruleset, occurred_time, terms),
            *_prizes(decision, member_id, partner_id, terms),
        )
    ]
    if len(operations) > OPERATIONS_MAX:
        raise errors.AmountOutOfRange(
            line_id="", problem="too many campaigns apply at once", field="lines"
        )
    return operations


def _coupons(decision: engine.Decision, member_id: str) -> Iterator[batch_pb2.Transfer]:
    for charge in decision.charges:
        if charge.personal:
            held = accounts.coupons(member_id, charge.campaign_id)
            if charge.coupon_id:
                held = accounts.bearer_coupon(charge.coupon_id, charge.campaign_id)
            yield batch_pb2.Transfer(
                asset_code=held.asset_code,
                debit=accounts.owner(held),
                credit=accounts.world(accounts.REDEMPTION),
                amount=1,
                reason=account_pb2.TRANSFER_REASON_BURN,
                campaign_id=charge.campaign_id,
            )


def _stamps(decision: engine.Decision, member_id: str) -> Iterator[batch_pb2.Transfer]:
    for charge in decision.charges:
        if charge.stamps is not None:
            held = accounts.stamps(member_id, charge.stamps.card_id)
            yield batch_pb2.Transfer(
                asset_code=held.asset_code,
                debit=accounts.owner(held),
                credit=accounts.world(accounts.REDEMPTION),
                amount=charge.stamps.count,
                reason=account_pb2.TRANSFER_REASON_BURN,
                campaign_id=charge.campaign_id,
            )


def _uses(
    decision: engine.Decision, member_id: str, ruleset: engine.Ruleset
) -> Iterator[batch_pb2.Transfer]:
    for charge in decision.charges:
        name, limits = charge.campaign_id, limits_of(ruleset, charge.campaign_id)
        counters = []
        if charge.uses:
            counters.append((accounts.uses(name), charge.uses))
        if charge.member_uses:
            limit = limits.uses_per_member_max
            counters.append((accounts.member_uses(member_id, name, limit), 1))
        if charge.units and limits.units_max:
            counters.append((accounts.units(name), sum(count for _, count in charge.units)))
        if charge.units and charge.member_units:
            limit, count = limits.units_per_member_max, sum(count for _, count in charge.units)
            counters.append((accounts.member_units(member_id, name, limit), count))
        if limits.units_per_article_max:
            limit = limits.units_per_article_max
            counters += [
                (accounts.article_units(name, limit, sku), count) for sku, count in charge.units
            ]
        for counter, amount in counters:
            yield batch_pb2.Transfer(
                asset_code=counter.asset_code,
                debit=accounts.world(accounts.COUNTING),
                credit=accounts.owner(counter),
                amount=amount,
                reason=account_pb2.TRANSFER_REASON_COUNT,
                campaign_id=charge.campaign_id,
            )


def limits_of(ruleset: engine.Ruleset, campaign_id: str) -> engine.Limits:
    """Return the limits of a campaign that the rule set holds."""
    campaign = ruleset.find(campaign_id)
    assert campaign is not None
    return campaign.rules.limits


def stamps_of(ruleset: engine.Ruleset, campaign_id: str) -> engine.StampPrice:
    """Return the stamps that a campaign of the rule set costs."""
    campaign = ruleset.find(campaign_id)
    assert campaign is not None
    assert isinstance(campaign.rules.trigger, engine.CouponTrigger)
    assert campaign.rules.trigger.stamps is not None
    return campaign.rules.trigger.stamps


def _budgets(decision: engine.Decision, terms: Terms) -> Iterator[batch_pb2.Transfer]:
    for charge in decision.charges:
        if charge.budget_minor:
            budget = accounts.budget(charge.campaign_id, terms.currency_code)
            yield batch_pb2.Transfer(
                asset_code=budget.asset_code,
                debit=accounts.owner(budget),
                credit=accounts.world(accounts.DISCOUNTS),
                amount=charge.budget_minor,
                reason=account_pb2.TRANSFER_REASON_BURN,
                campaign_id=charge.campaign_id,
            )


def _prices(
    decision: engine.Decision, member_id: str, partner_id: str, terms: Terms
) -> Iterator[batch_pb2.Transfer]:
    """Yield what rewards cost, in stamps and in points."""
    for move in decision.stamp_moves:
        if move.spent:
            held = accounts.stamps(member_id, move.card)
            credit = accounts.world(accounts.REDEMPTION)
            if move.card == engine.POINTS_CARD:
                held = accounts.points(member_id, terms.points_asset)
                credit = accounts.company(partner_id, accounts.REDEMPTION)
            yield batch_pb2.Transfer(
                asset_code=held.asset_code,
                debit=accounts.owner(held),
                credit=credit,
                amount=move.spent,
                reason=account_pb2.TRANSFER_REASON_REDEEM,
                campaign_id=move.campaign_id,
            )


def _stamps_earned(decision: engine.Decision, member_id: str) -> Iterator[batch_pb2.Transfer]:
    for move in decision.stamp_moves:
        if move.earned:
            held = accounts.stamps(member_id, move.card)
            yield batch_pb2.Transfer(
                asset_code=held.asset_code,
                debit=accounts.world(accounts.ISSUANCE),
                credit=accounts.owner(held),
                amount=move.earned,
                reason=account_pb2.TRANSFER_REASON_EARN,
                campaign_id=move.campaign_id,
            )


def _coupons_granted(
    decision: engine.Decision,
    member_id: str,
    ruleset: engine.Ruleset,
    occurred_time: datetime,
    terms: Terms,
) -> Iterator[batch_pb2.Transfer]:
    """Yield coupons for later of campaigns that are live; a bearer's need a code that is drawn."""
    for grant in decision.coupon_grants:
        owner_id = grant.coupon_id if grant.bearer else member_id
        if not owner_id or not engine.answers_to_bearers(ruleset, grant.coupon_campaign_id):
            continue
        hold = accounts.bearer_coupon if grant.bearer else accounts.coupons
        held = hold(owner_id, grant.coupon_campaign_id)
        transfer = batch_pb2.Transfer(
            asset_code=held.asset_code,
            debit=accounts.world(accounts.ISSUANCE),
            credit=accounts.owner(held),
            amount=grant.uses,
            reason=account_pb2.TRANSFER_REASON_EARN,
            campaign_id=grant.campaign_id,
        )
        if grant.expire_days:
            expire_time = day_end(occurred_time, grant.expire_days, terms.zone)
            transfer.lot_expire_time.CopyFrom(timestamps.show(expire_time))
        yield transfer


def _prizes(
    decision: engine.Decision, member_id: str, partner_id: str, terms: Terms
) -> Iterator[batch_pb2.Transfer]:
    """Yield what chances win: one of the prize, followed by its points if it has any."""
    for drawn in decision.instant_draws:
        if drawn.prize_index is None:
            continue
        left = accounts.prizes(drawn.account_id)
        yield batch_pb2.Transfer(
            asset_code=left.asset_code,
            debit=accounts.owner(left),
            credit=accounts.world(accounts.REDEMPTION),
            amount=1,
            reason=account_pb2.TRANSFER_REASON_BURN,
            campaign_id=drawn.campaign_id,
        )
        if drawn.points:
            held = accounts.points(member_id, terms.points_asset)
            yield batch_pb2.Transfer(
                asset_code=held.asset_code,
                debit=accounts.company(partner_id, accounts.ISSUANCE),
                credit=accounts.owner(held),
                amount=drawn.points,
                reason=account_pb2.TRANSFER_REASON_EARN,
                campaign_id=drawn.campaign_id,
            )


def _redeemed(
    decision: engine.Decision, member_id: str, partner_id: str, terms: Terms
) -> Iterator[batch_pb2.Transfer]:
    if decision.points_spent:
        held = accounts.points(member_id, terms.points_asset)
        yield batch_pb2.Transfer(
            asset_code=held.asset_code,
            debit=accounts.owner(held),
            credit=accounts.company(partner_id, accounts.REDEMPTION),
            amount=decision.points_spent,
            reason=account_pb2.TRANSFER_REASON_REDEEM,
        )


def _earned(
    decision: engine.Decision,
    member_id: str,
    partner_id: str,
    occurred_time: datetime,
    terms: Terms,
) -> Iterator[batch_pb2.Transfer]:
    for earning in decision.earnings:
        held = accounts.points(member_id, terms.points_asset)
        transfer = batch_pb2.Transfer(
            asset_code=held.asset_code,
            debit=accounts.company(partner_id, accounts.ISSUANCE),
            credit=accounts.owner(held),
            amount=earning.points,
            reason=account_pb2.TRANSFER_REASON_EARN,
            campaign_id=earning.campaign_id,
        )
        if earning.expire_days:
            expire_time = day_end(occurred_time, earning.expire_days, terms.zone)
            transfer.lot_expire_time.CopyFrom(timestamps.show(expire_time))
        yield transfer


def build_payments(
    payments: Iterable[checkout_pb2.GiftCardPayment], terms: Terms
) -> list[batch_pb2.Operation]:
    """Return what gift cards pay; they are tender and come after everything else."""
    operations = []
    for payment in payments:
        held = accounts.gift_card(payment.card_id, terms.currency_code)
        transfer = batch_pb2.Transfer(
            asset_code=held.asset_code,
            debit=accounts.owner(held),
            credit=accounts.world(accounts.REDEMPTION),
            amount=payment.amount_minor,
            reason=account_pb2.TRANSFER_REASON_REDEEM,
        )
        operations.append(batch_pb2.Operation(transfer=transfer))
    return operations


def _is_gift(operation: batch_pb2.Operation) -> bool:
    return operation.transfer.asset_code.startswith(accounts.GIFTS)


def spread_refund(
    batch: batch_pb2.Batch, moved: Sequence[int], *, undone: Mapping[int, int], refund_minor: int
) -> dict[int, int]:
    """Return how much of a refund goes back to each gift card that paid, by operation, in order."""
    parts, missing = {}, refund_minor
    for index, operation in enumerate(batch.operations):
        if _is_gift(operation):
            part = min(moved[index] - undone.get(index, 0), missing)
            missing -= part
            if part:
                parts[index] = part
    return parts


def find_not_refunded(
    batch: batch_pb2.Batch,
    moved: Sequence[int],
    *,
    paid_minor: int,
    before_minor: int,
    refund_minor: int,
) -> int:
    """Return which part of a refund nobody paid: gift cards gave less than a receipt says.

    They `paid_minor` by the receipt; `before_minor` was due by earlier returns. Cards get first
    what they gave, then comes what they did not, then other money. All in minor units.
    """
    gave = sum(
        amount
        for operation, amount in zip(batch.operations, moved, strict=True)
        if _is_gift(operation)
    )
    lacking = max(paid_minor - gave, 0)

    def lost(due_minor: int) -> int:
        return min(max(due_minor - gave, 0), lacking)

    return lost(before_minor + refund_minor) - lost(before_minor)


def day_end(moment: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Return the end of the day so many days later."""
    day = moment.astimezone(zone).date() + timedelta(days=days + 1)
    return datetime.combine(day, time(), tzinfo=zone)


def build_undo(
    batch: batch_pb2.Batch, moved: Sequence[int], *, owes: bool, drawn: Container[str] = ()
) -> list[batch_pb2.Operation]:
    """Return what undoes a purchase: points spent come back first, so earned ones can be taken.

    `owes` when points that were spent meanwhile become a debt; `drawn` are the campaigns whose
    chances it took: those stay used.
    """
    return [
        _reversal(batch, index, amount, owes=owes)
        for index, amount in sorted(
            enumerate(moved), key=lambda pair: _is_earn(batch.operations[pair[0]])
        )
        if amount
        and batch.operations[index].HasField("transfer")
        and not _stays_used(batch.operations[index], drawn)
    ]


def _stays_used(operation: batch_pb2.Operation, drawn: Container[str]) -> bool:
    """Tell whether a movement paid for chances that were drawn, or is a prize that was won."""
    pays = operation.transfer.reason in _KEPT and operation.transfer.campaign_id in drawn
    return pays or is_prize(operation)


def is_prize(operation: batch_pb2.Operation) -> bool:
    """Tell whether a chance wins a prize."""
    return operation.transfer.asset_code == accounts.PRIZES_ASSET


def is_prize_gone(batch: batch_pb2.Batch, refusal: batch_pb2.BatchRefusal) -> bool:
    """Tell whether a batch was refused because of a prize of which none is out."""
    return (
        refusal.reason == error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS
        and refusal.operation_index >= 0
        and is_prize(batch.operations[refusal.operation_index])
    )


def _find_prize_points(batch: batch_pb2.Batch) -> frozenset[int]:
    """Return the operations that are points of prizes: each follows its prize."""
    operations = batch.operations
    return frozenset(
        index + 1
        for index, operation in enumerate(operations[:-1])
        if is_prize(operation) and _is_earn(operations[index + 1])
    )


def without_prize(batch: batch_pb2.Batch, index: int) -> batch_pb2.Batch:
    """Return a batch without the prize at an operation and without its points."""
    gone = {index, index + 1} if index + 1 in _find_prize_points(batch) else {index}
    rest = batch_pb2.Batch()
    rest.CopyFrom(batch)
    del rest.operations[:]
    rest.operations.extend(one for place, one in enumerate(batch.operations) if place not in gone)
    return rest


def count_prizes(batch: batch_pb2.Batch, moved: Sequence[int]) -> dict[str, int]:
    """Return how many prizes were won, by the account of what is left of them."""
    won: dict[str, int] = {}
    for operation, amount in zip(batch.operations, moved, strict=True):
        if is_prize(operation):
            account_id = operation.transfer.debit.owner_id
            won[account_id] = won.get(account_id, 0) + amount
    return won


def build_holds(
    operations: Sequence[batch_pb2.Operation], *, seconds: int
) -> list[batch_pb2.Operation]:
    """Return what holds everything that a purchase takes; what it gives is not held."""
    return [
        batch_pb2.Operation(
            place_hold=batch_pb2.PlaceHold(
                asset_code=operation.transfer.asset_code,
                debit=operation.transfer.debit,
                credit=operation.transfer.credit,
                amount=operation.transfer.amount,
                reason=operation.transfer.reason,
                campaign_id=operation.transfer.campaign_id,
                time_to_live=duration_pb2.Duration(seconds=seconds),
            )
        )
        for operation in operations
        if operation.HasField("transfer") and not _is_earn(operation)
    ]


def build_voids(holding: batch_pb2.Batch) -> list[batch_pb2.Operation]:
    """Return what gives back everything that a batch holds."""
    return [
        batch_pb2.Operation(
            void_hold=batch_pb2.VoidHold(batch_id=holding.batch_id, operation_index=index)
        )
        for index in range(len(holding.operations))
    ]


_HOLD_ENDED = frozenset(
    {
        error_reason_pb2.ERROR_REASON_HOLD_CAPTURED,
        error_reason_pb2.ERROR_REASON_HOLD_VOIDED,
        error_reason_pb2.ERROR_REASON_HOLD_EXPIRED,
        error_reason_pb2.ERROR_REASON_HOLD_NOT_FOUND,
    }
)


def _is_earn(operation: batch_pb2.Operation) -> bool:
    return operation.transfer.reason == account_pb2.TRANSFER_REASON_EARN


def _reversal(
    batch: batch_pb2.Batch, index: int, amount: int, *, owes: bool
) -> batch_pb2.Operation:
    shortfall = batch_pb2.SHORTFALL_REFUSE
    # Only a shopper can have spent meanwhile what is to be taken back.
    if _is_earn(batch.operations[index]):
        owed = owes and _brings_points(batch.operations[index])
        shortfall = batch_pb2.SHORTFALL_DEBT if owed else batch_pb2.SHORTFALL_TAKE_AVAILABLE
    return batch_pb2.Operation(
        reversal=batch_pb2.Reversal(
            batch_id=batch.batch_id, operation_index=index, amount=amount, shortfall=shortfall
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedValue:
    """What a return gives back and takes back, in the smallest unit of points."""

    points_restored: int
    points_clawed_back: int
    #: By how much less each campaign gives on what stays, in points.
    losses: Mapping[str, int]
    #: True when nothing of the purchase stays.
    complete: bool
    #: Money that goes back to gift cards, by operation.
    gifts: Mapping[int, int] = field(default_factory=dict)
    #: Stamps to take back that were earned, and to give back that were spent.
    stamp_moves: Sequence[engine.StampMove] = ()


def build_return(
    batch: batch_pb2.Batch,
    moved: Sequence[int],
    *,
    undone: Mapping[int, int],
    value: ReturnedValue,
    owes: bool,
    drawn: Container[str] = (),
) -> list[batch_pb2.Operation]:
    """Return what a return moves; `undone` is what earlier returns undid, by operation.

    `owes` when points that were spent meanwhile become a debt; `drawn` are the campaigns whose
    chances the purchase took: those stay used.
    """
    of_prizes = _find_prize_points(batch)
    left = {index: amount - undone.get(index, 0) for index, amount in enumerate(moved)}
    by_reason: dict[int, list[int]] = {}
    for index, operation in enumerate(batch.operations):
        special = (
            _is_stamps(operation)
            or is_coupon_grant(operation)
            or _is_gift(operation)
            or _stays_used(operation, drawn)
            or index in of_prizes
        )
        if not special:
            by_reason.setdefault(operation.transfer.reason, []).append(index)
    parts = _spread(by_reason.get(account_pb2.TRANSFER_REASON_REDEEM, []), left, value)
    parts |= _taken_back(batch, by_reason.get(account_pb2.TRANSFER_REASON_EARN, []), left, value)
    if value.complete:
        parts |= {index: left[index] for reason in _KEPT for index in by_reason.get(reason, [])}
    parts |= value.gifts
    parts |= _stamps_undone(batch, left, value.stamp_moves)
    if value.complete:
        parts |= {
            index: left[index]
            for index, operation in enumerate(batch.operations)
            if is_coupon_grant(operation) or index in of_prizes
        }
    return [
        _reversal(batch, index, parts[index], owes=owes)
        for index in sorted(
            parts,
            key=lambda index: (
                _is_earn(batch.operations[index]),
                is_coupon_grant(batch.operations[index]) or index in of_prizes,
                _is_stamps(batch.operations[index]),
                index,
            ),
        )
        if parts[index] > 0
    ]


def _brings_points(operation: batch_pb2.Operation) -> bool:
    return _is_earn(operation) and not _is_stamps(operation) and not is_coupon_grant(operation)


def _is_stamps(operation: batch_pb2.Operation) -> bool:
    """Tell whether stamps move as points do, or points as stamps: as the price of a reward.

    Stamps that a code costs are burnt like coupons.
    """
    transfer = _movement(operation)
    burnt = transfer.reason == account_pb2.TRANSFER_REASON_BURN
    in_stamps = not burnt and transfer.asset_code.startswith(accounts.STAMPS)
    return in_stamps or _is_points_price(operation)


def _movement(operation: batch_pb2.Operation) -> batch_pb2.Transfer | batch_pb2.PlaceHold:
    """Return what an operation moves or holds."""
    return operation.place_hold if operation.HasField("place_hold") else operation.transfer


def _is_points_price(operation: batch_pb2.Operation) -> bool:
    """Tell whether points are the price of a reward: a campaign takes them, unlike payments."""
    transfer = _movement(operation)
    redeems = transfer.reason == account_pb2.TRANSFER_REASON_REDEEM
    in_points = not transfer.asset_code.startswith((accounts.STAMPS, accounts.GIFTS))
    return redeems and in_points and bool(transfer.campaign_id)


def _card_of(operation: batch_pb2.Operation) -> str:
    if _is_points_price(operation):
        return engine.POINTS_CARD
    return operation.transfer.asset_code.removeprefix(accounts.STAMPS)


def is_coupon_grant(operation: batch_pb2.Operation) -> bool:
    """Tell whether a coupon for later comes to a member or to a code."""
    return _is_earn(operation) and operation.transfer.asset_code.startswith(accounts.COUPONS)


def is_printed(operation: batch_pb2.Operation) -> bool:
    """Tell whether a coupon for later comes to a code that is printed."""
    to_card = operation.transfer.credit.owner_type == account_pb2.OWNER_TYPE_CARD
    return to_card and is_coupon_grant(operation)


def _stamps_undone(
    batch: batch_pb2.Batch, left: Mapping[int, int], moves: Sequence[engine.StampMove]
) -> dict[int, int]:
    """Return how much of each movement of stamps is undone."""
    undone = {
        (one.campaign_id, one.card, earned): count
        for one in moves
        for earned, count in ((True, one.earned), (False, one.spent))
    }
    parts = {}
    for index, operation in enumerate(batch.operations):
        transfer = operation.transfer
        key = (transfer.campaign_id, _card_of(operation), _is_earn(operation))
        if _is_stamps(operation) and undone.get(key):
            parts[index] = min(left[index], undone[key])
            undone[key] -= parts[index]
    return parts


def _spread(
    indexes: Sequence[int], left: Mapping[int, int], value: ReturnedValue
) -> dict[int, int]:
    """Return how much of each redemption comes back."""
    parts, missing = {}, value.points_restored
    for index in indexes:
        parts[index] = min(missing, left[index])
        missing -= parts[index]
    return parts


def _taken_back(
    batch: batch_pb2.Batch, indexes: Sequence[int], left: Mapping[int, int], value: ReturnedValue
) -> dict[int, int]:
    """Return how much of each earning is taken back: first where a campaign gives less now."""
    parts = dict.fromkeys(indexes, 0)
    losses, missing = dict(value.losses), value.points_clawed_back
    for index in indexes:
        campaign_id = batch.operations[index].transfer.campaign_id
        part = max(min(missing, left[index], losses.get(campaign_id, 0)), 0)
        losses[campaign_id] = losses.get(campaign_id, 0) - part
        parts[index] = part
        missing -= part
    for index in indexes:
        part = min(missing, left[index] - parts[index])
        parts[index] += part
        missing -= part
    return parts


def find_shortfall(batch: batch_pb2.Batch, moved: Sequence[int], *, others: int = 0) -> int:
    """Return the points that a batch should have taken back and could not, and forgave.

    `others` is how many earnings of stamps, coupons and prizes it undoes; they stand at its end.
    """
    pairs = list(zip(batch.operations, moved, strict=True))
    return sum(
        operation.reversal.amount - amount
        for operation, amount in pairs[: len(pairs) - others]
        if not _owes(operation)
    )


def find_prize_shortfall(
    batch: batch_pb2.Batch, moved: Sequence[int], *, prizes: int
) -> tuple[int, int]:
    """Return the points of so many prizes that could not be taken back: forgiven, and owed.

    Prizes are the last that a return undoes.
    """
    places = range(len(moved) - prizes, len(moved))
    lacking = [(batch.operations[at].reversal.amount - moved[at], at) for at in places]
    owed = sum(amount for amount, at in lacking if _owes(batch.operations[at]))
    return sum(amount for amount, _ in lacking) - owed, owed


def find_owed(batch: batch_pb2.Batch, moved: Sequence[int]) -> int:
    """Return the points that a batch should have taken back and that are owed instead."""
    return sum(
        operation.reversal.amount - amount
        for operation, amount in zip(batch.operations, moved, strict=True)
        if _owes(operation)
    )


def _owes(operation: batch_pb2.Operation) -> bool:
    return operation.reversal.shortfall == batch_pb2.SHORTFALL_DEBT


def find_restored(batch: batch_pb2.Batch, undoing: Sequence[batch_pb2.Operation]) -> int:
    """Return the points that had paid for a purchase and that operations give back."""
    return sum(
        operation.reversal.amount
        for operation in undoing
        if _pays_in_points(batch.operations[operation.reversal.operation_index])
    )


def _pays_in_points(operation: batch_pb2.Operation) -> bool:
    redeems = operation.transfer.reason == account_pb2.TRANSFER_REASON_REDEEM
    return redeems and not _is_stamps(operation) and not _is_gift(operation)


def settle_undo(undo: batch_pb2.Batch, moved: Sequence[int]) -> batch_pb2.Batch:
    """Return what undid a purchase with the amounts that it could move."""
    settled = batch_pb2.Batch()
    settled.CopyFrom(undo)
    for operation, amount in zip(settled.operations, moved, strict=True):
        operation.reversal.amount = amount
    return settled


def find_unrecovered(
    batch: batch_pb2.Batch, moved: Sequence[int], *, undone: batch_pb2.Batch
) -> tuple[int, int]:
    """Return the points that undoing a purchase could not take back: forgiven, and owed."""
    lacking = {
        one.reversal.operation_index: (
            moved[one.reversal.operation_index] - one.reversal.amount,
            _owes(one),
        )
        for one in undone.operations
        if _brings_points(batch.operations[one.reversal.operation_index])
    }
    forgiven = sum(amount for amount, owed in lacking.values() if not owed)
    return forgiven, sum(amount for amount, owed in lacking.values() if owed)


def sum_undone(batches: Sequence[batch_pb2.Batch]) -> dict[int, int]:
    """Return what returns have undone of a purchase, by operation of its batch."""
    undone: dict[int, int] = {}
    for batch in batches:
        for operation in batch.operations:
            index = operation.reversal.operation_index
            undone[index] = undone.get(index, 0) + operation.reversal.amount
    return undone


_GONE = {
    accounts.USES_ASSET: "USAGE_LIMIT_REACHED",
    "use": "MEMBER_LIMIT_REACHED",
    "budget": "BUDGET_EXHAUSTED",
    "coupon": "COUPON_NOT_HELD",
    "stamps": "STAMPS_MISSING",
    accounts.UNITS_ASSET: "BUDGET_EXHAUSTED",
    "article": "BUDGET_EXHAUSTED",
}


def explain_refusal(
    batch: batch_pb2.Batch, refusal: batch_pb2.BatchRefusal, *, terms: Terms
) -> errors.PromotionsRefusal | None:
    """Return what a refused purchase tells the till; None when the refusal is a defect of ours."""
    if refusal.reason == error_reason_pb2.ERROR_REASON_OCCURRED_IN_FUTURE:
        return errors.OccurredInFuture(ahead_s=60)
    if refusal.reason in _HOLD_ENDED:
        return errors.ReservationEnded()
    return _explain_short(batch, refusal, terms)


def _explain_short(
    batch: batch_pb2.Batch, refusal: batch_pb2.BatchRefusal, terms: Terms
) -> errors.PromotionsRefusal | None:
    """Return what a movement tells the till for which there was too little, or no room."""
    if refusal.operation_index < 0:
        return None
    operation = batch.operations[refusal.operation_index]
    available = int(refusal.metadata.get("available", "0"))
    if _is_gift(operation):
        return errors.GiftCardShort(
            card_id=operation.transfer.debit.owner_id,
            available_minor=available,
            asset_code=operation.transfer.asset_code,
        )
    if refusal.reason not in {
        error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS,
        error_reason_pb2.ERROR_REASON_CEILING_EXCEEDED,
    }:
        return None
    transfer = _movement(operation)
    if _is_stamps(operation):
        cause = "POINTS_MISSING" if _is_points_price(operation) else "STAMPS_MISSING"
        return errors.BenefitGone(campaign_id=transfer.campaign_id, cause=cause)
    if transfer.reason == account_pb2.TRANSFER_REASON_REDEEM:
        steps = available // terms.points.point_units
        return errors.PointsPaymentTooHigh(max_minor=steps * terms.points.point_value_minor)
    cause = _GONE.get(transfer.asset_code.split(".")[0], "BALANCE_LIMIT_REACHED")
    return errors.BenefitGone(campaign_id=transfer.campaign_id, cause=cause)
