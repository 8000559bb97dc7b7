"""What the cashier should say and the receipt should show, in every language."""

# ruff: noqa: RUF001 - half of the texts are Russian

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final, NamedTuple

from services.promotions.engine import amounts, currencies
from services.promotions.engine.carts import Cart, PointsTerms
from services.promotions.engine.decisions import (
    CouponGrant,
    Gift,
    GiftOffer,
    InstantChances,
    Message,
    MessageAudience,
    NearMiss,
    Outcome,
    OutcomeReason,
    PaymentBound,
    PaymentOffer,
    StampMove,
)
from services.promotions.engine.rules import POINTS_CARD, Text


class Extras(NamedTuple):
    """What a purchase brings besides discounts and points."""

    gifts: tuple[Gift, ...] = ()
    gift_offers: tuple[GiftOffer, ...] = ()
    coupon_grants: tuple[CouponGrant, ...] = ()
    stamp_moves: tuple[StampMove, ...] = ()
    instant_chances: tuple[InstantChances, ...] = ()


NO_EXTRAS: Final = Extras()
NEAR_MISSES_MAX: Final = 3
_UNIT: Final = 1_000

_WHY_NOT: Final = {
    OutcomeReason.CONDITION_NOT_MET: Text(
        "the purchase does not meet its conditions", "покупка не подходит под условия"
    ),
    OutcomeReason.NO_TARGET_ITEMS: Text(
        "there are no goods that it is for", "нет товаров, на которые он действует"
    ),
    OutcomeReason.WRONG_STORE: Text("it is not for this store", "он не действует в этом магазине"),
    OutcomeReason.WRONG_CHANNEL: Text(
        "it is not for this way of buying", "он не действует при таком способе покупки"
    ),
    OutcomeReason.OUTSIDE_TIME: Text(
        "it is not for this day or hour", "он не действует в этот день или час"
    ),
    OutcomeReason.NOT_STARTED: Text("it has not started yet", "срок его действия ещё не начался"),
    OutcomeReason.EXPIRED: Text("it has expired", "срок его действия истёк"),
    OutcomeReason.NOT_IN_AUDIENCE: Text(
        "it is not for this shopper", "он не предназначен для этого покупателя"
    ),
    OutcomeReason.COUPON_NOT_HELD: Text(
        "the shopper does not hold it or has used it", "у покупателя его нет или он уже использован"
    ),
    OutcomeReason.CATEGORY_LIMIT: Text(
        "as many offers of its kind are applied as may be",
        "таких предложений уже применено предельное число",
    ),
    OutcomeReason.REPLACED_BY_LATER_CODE: Text(
        "another code was presented later", "вместо него предъявлен другой код"
    ),
    OutcomeReason.EXCLUDED_BY_EXCLUSIVE: Text(
        "another offer lets nothing go with it", "другое предложение не сочетается ни с чем"
    ),
    OutcomeReason.INCOMPATIBLE: Text(
        "it does not go together with another offer", "он не сочетается с другим предложением"
    ),
    OutcomeReason.INACTIVE: Text("it is not valid now", "сейчас он не действует"),
    OutcomeReason.SET_REFUSED: Text(
        "another of the codes cannot be used", "нельзя применить другой из кодов"
    ),
    OutcomeReason.RECEIPT_CAP_REACHED: Text(
        "the receipt has as much off as may be", "на чек уже дана предельная скидка"
    ),
    OutcomeReason.STAMPS_MISSING: Text(
        "the shopper has too few stamps", "у покупателя не хватает наклеек"
    ),
    OutcomeReason.POINTS_MISSING: Text(
        "the shopper has too few points", "у покупателя не хватает баллов"
    ),
    OutcomeReason.USAGE_LIMIT_REACHED: Text("all its uses are gone", "он использован полностью"),
    OutcomeReason.MEMBER_LIMIT_REACHED: Text(
        "the shopper has used it often enough",
        "покупатель уже использовал его предельное число раз",
    ),
    OutcomeReason.BUDGET_EXHAUSTED: Text("its budget is gone", "бюджет акции исчерпан"),
    OutcomeReason.LOST_BEST_OF: Text(
        "a better offer is applied instead", "вместо него действует более выгодное предложение"
    ),
    OutcomeReason.STOPPED_BY_PRIOR_RULE: Text(
        "it does not go together with another offer", "он не сочетается с другим предложением"
    ),
    OutcomeReason.NOTHING_LEFT_TO_DISCOUNT: Text(
        "the goods cost nothing any more", "товары уже ничего не стоят"
    ),
    OutcomeReason.NO_BENEFIT: Text("it would give nothing", "он ничего бы не дал"),
    OutcomeReason.MIN_PRICE_FLOOR: Text(
        "the goods are at their lowest price", "товары уже продаются по минимальной цене"
    ),
    OutcomeReason.DEPENDENCY_UNAVAILABLE: Text(
        "it cannot be checked now", "сейчас его нельзя проверить"
    ),
    OutcomeReason.INSUFFICIENT_TARGET_UNITS: Text(
        "there are too few goods that it rewards", "слишком мало товаров, на которые даётся скидка"
    ),
    OutcomeReason.GROUP_INCOMPLETE: Text(
        "there are too few goods for a set", "для набора не хватает товаров"
    ),
    OutcomeReason.ITEMS_ALREADY_CONSUMED: Text(
        "its goods are part of another offer", "товары уже участвуют в другом предложении"
    ),
    OutcomeReason.ATTRIBUTE_MISSING: Text(
        "something that it asks for is not known", "не хватает сведений, о которых он спрашивает"
    ),
}


_WHY_NOT_MORE: Final = {
    PaymentBound.BALANCE: Text("The shopper has no more points", "У покупателя больше нет баллов"),
    PaymentBound.NO_GOODS: Text(
        "There are no goods that points may pay for", "Нет товаров, которые можно оплатить баллами"
    ),
    PaymentBound.MEMBER_UNKNOWN: Text(
        "Only a member can pay with points", "Платить баллами может только участник программы"
    ),
    PaymentBound.UNANSWERED: Text("Points cannot be checked now", "Сейчас проверить баллы нельзя"),
}


def explain_payment(offer: PaymentOffer, terms: PointsTerms, currency_code: str) -> Text:
    """Return why points may not pay more than an offer says."""
    match offer.bound:
        case PaymentBound.SHARE:
            share = terms.payment_share_max_basis_points
            return Text(
                f"Points may pay up to {_decimal(share, 2, '.')} % of what they are for",
                f"Баллами можно оплатить до {_decimal(share, 2, ',')} % подходящих товаров",
            )
        case PaymentBound.RECEIPT_TOO_SMALL:
            en, ru = _money(terms.payment_receipt_min_minor, currency_code)
            return Text(
                f"Points may pay for purchases of {en} and more",
                f"Баллами можно платить за покупки от {ru}",
            )
        case PaymentBound.BELOW_MINIMUM:
            en, ru = _money(offer.min_minor, currency_code)
            return Text(
                f"Points may pay {en} at the least", f"Баллами можно оплатить не меньше {ru}"
            )
    return _WHY_NOT_MORE[offer.bound]


def _money(amount_minor: int, currency_code: str) -> tuple[str, str]:
    digits = currencies.decimals_of(currency_code)
    return (
        f"{_fixed(amount_minor, digits, '.')} {currency_code}",
        f"{_fixed(amount_minor, digits, ',')} {currency_code}",
    )


def write(
    outcomes: Sequence[Outcome],
    *,
    cart: Cart,
    terms: PointsTerms,
    earned: int,
    spent: int,
    refused: PaymentOffer | None = None,
    extras: Extras = NO_EXTRAS,
) -> tuple[Message, ...]:
    """Return the messages of a decision: coupons, near misses (the nearest few), gifts, points.

    `earned` and `spent` are in the asset's smallest unit; `refused` is the offer that the shopper
    wanted more than.
    """
    found = _tell_coupons(outcomes, cart)
    misses = [one for one in outcomes if one.near_miss is not None and one.near_miss.close]
    misses.sort(key=_distance)
    for outcome in misses[:NEAR_MISSES_MAX]:
        assert outcome.near_miss is not None
        text = _tell_miss(outcome.near_miss, outcome.title, cart.currency_code)
        found.append(Message(MessageAudience.CASHIER, text, outcome.campaign_id))
    if refused is not None:
        why = explain_payment(refused, terms, cart.currency_code)
        found.append(Message(MessageAudience.CASHIER, why))
    if extras is not NO_EXTRAS:
        found += _tell_extras(extras, terms)
    if spent:
        found.append(Message(MessageAudience.RECEIPT, _tell_spent(spent, terms)))
    if earned:
        found.append(Message(MessageAudience.RECEIPT, _tell_earned(earned, terms)))
    return tuple(found)


def _tell_extras(extras: Extras, terms: PointsTerms) -> list[Message]:
    """Return what to hand out, what to ask, and what the shopper has besides money and points."""
    cashier, receipt = MessageAudience.CASHIER, MessageAudience.RECEIPT
    found = []
    for gift in extras.gifts:
        text = Text(
            f"Hand out a gift: {gift.sku}, {count_units(gift.units)}",
            f"Выдайте подарок: {gift.sku}, {gift.units} шт.",
        )
        found.append(Message(cashier, text, gift.campaign_id))
        text = Text(
            f"A gift for you: {gift.sku}, {count_units(gift.units)}",
            f"Ваш подарок: {gift.sku}, {gift.units} шт.",
        )
        found.append(Message(receipt, text, gift.campaign_id))
    found += [
        Message(cashier, _tell_choice(offer), offer.campaign_id) for offer in extras.gift_offers
    ]
    for grant in extras.coupon_grants:
        text = Text(
            f"A coupon for later: {grant.uses} {'use' if grant.uses == 1 else 'uses'}",
            f"Купон на следующую покупку: {count_in_russian(grant.uses, _USE)}",
        )
        found.append(Message(receipt, text, grant.campaign_id))
    for move in extras.stamp_moves:
        found += _tell_move(move, terms)
    for chances in extras.instant_chances:
        count = chances.number
        text = Text(
            f"{count} {'chance' if count == 1 else 'chances'} of winning at once",
            f"{count_in_russian(count, _CHANCE)} на мгновенный выигрыш",
        )
        found.append(Message(receipt, text, chances.campaign_id))
    return found


def _tell_choice(offer: GiftOffer) -> Text:
    skus, count = ", ".join(offer.skus), offer.number
    if offer.basis_points == amounts.BASIS_POINTS:
        return Text(
            f"The shopper may choose {count} of these gifts: {skus}",
            f"Покупатель может выбрать {count_in_russian(count, _GIFT)} из: {skus}",
        )
    percent = f"{offer.basis_points / 100:g}"
    return Text(
        f"Offer {count_units(count)} at {percent}% off: {skus}",
        f"Предложите дешевле на {percent.replace('.', ',')} %: {skus}, {count} шт.",
    )


def tell_win(campaign_id: str, title: Text, *, is_handed_over: bool) -> tuple[Message, ...]:
    """Return what to say of a prize that was won: on the receipt, and to whoever hands it over."""
    text = Text(f"You have won: {title.pick('en')}", f"Вы выиграли: {title.pick('ru')}")
    told = Message(MessageAudience.RECEIPT, text, campaign_id)
    if not is_handed_over:
        return (told,)
    text = Text(
        f"The shopper has won, hand it over: {title.pick('en')}",
        f"Покупатель выиграл, вручите приз: {title.pick('ru')}",
    )
    return (Message(MessageAudience.CASHIER, text, campaign_id), told)


def tell_withdrawal(campaign_id: str, title: Text) -> Message:
    """Return what to say to the cashier of a prize that goes back with its purchase."""
    text = Text(
        f"Ask for the prize back: {title.pick('en')}", f"Попросите вернуть приз: {title.pick('ru')}"
    )
    return Message(MessageAudience.CASHIER, text, campaign_id)


def tell_printed(code: str, last_day: date | None) -> Text:
    """Return what to print of a coupon for whoever bears it; None lives with its campaign."""
    until = Text("", "")
    if last_day is not None:
        until = Text(f", valid to {last_day.isoformat()}", f", до {last_day:%d.%m.%Y}")
    return Text(
        f"Your coupon for a next purchase: {code}{until.en}",
        f"Ваш купон на следующую покупку: {code}{until.ru}",
    )


def _tell_move(move: StampMove, terms: PointsTerms) -> list[Message]:
    if move.card == POINTS_CARD:
        cost = _points(move.spent, terms)
        text = Text(f"Taken for the reward: {cost.en}", f"Списано за вознаграждение: {cost.ru}")
        return [Message(MessageAudience.RECEIPT, text, move.campaign_id)]
    found = []
    for count, en, ru in (
        (move.spent, "taken", "Списано"),
        (move.earned, "more", "Начислим"),
    ):
        if count:
            noun = "stamp" if count == 1 else "stamps"
            text = Text(
                f"Card {move.card}: {count} {noun} {en}",
                f"Карта {move.card}. {ru}: {count_in_russian(count, _STAMP)}",
            )
            found.append(Message(MessageAudience.RECEIPT, text, move.campaign_id))
    return found


def count_units(units: int) -> str:
    """Return a number of units in English."""
    return f"{units} {'unit' if units == 1 else 'units'}"


def count_in_russian(count: int, forms: tuple[str, str, str]) -> str:
    """Return a number with its noun; the forms are those of 1, of 2, and of 5."""
    if count % 10 == 1 and count % 100 != 11:
        form = forms[0]
    elif count % 10 in {2, 3, 4} and count % 100 not in {12, 13, 14}:
        form = forms[1]
    else:
        form = forms[2]
    return f"{count} {form}"


_GIFT: Final = ("подарок", "подарка", "подарков")
_USE: Final = ("применение", "применения", "применений")
_CHANCE: Final = ("шанс", "шанса", "шансов")
_STAMP: Final = ("наклейка", "наклейки", "наклеек")
_POINT: Final = ("балл", "балла", "баллов")


def _distance(outcome: Outcome) -> tuple[int, int]:
    miss = outcome.near_miss
    assert miss is not None
    return miss.amount_minor, miss.quantity_thousandths


def _tell_coupons(outcomes: Iterable[Outcome], cart: Cart) -> list[Message]:
    if not cart.coupon_codes:
        return []
    found = []
    for outcome in outcomes:
        reason, details = outcome.reason, outcome.details
        if not details or details[0][0] != "code":
            continue
        code = details[0][1]
        if reason is OutcomeReason.UNKNOWN_CODE:
            text = Text(f"There is no coupon {code}", f"Купона {code} не существует")
            found.append(Message(MessageAudience.CASHIER, text))
        elif reason in _WHY_NOT:
            found.append(_tell_coupon(outcome, code))
    return found


def _tell_coupon(outcome: Outcome, code: str) -> Message:
    why = _WHY_NOT[outcome.reason]
    text = Text(
        f"Coupon {code} cannot be used: {why.en}", f"Купон {code} нельзя применить: {why.ru}"
    )
    return Message(MessageAudience.CASHIER, text, outcome.campaign_id)


def _tell_miss(miss: NearMiss, title: Text, currency_code: str) -> Text:
    en, ru = [], []
    if miss.quantity_thousandths:
        more = miss.quantity_thousandths
        # Only what is weighed is short of a part of something.
        unit = "" if more % _UNIT == 0 else " kg"
        en.append("one more" if more == _UNIT else f"{_decimal(more, 3, '.')}{unit} more")
        ru.append(f"ещё {_decimal(more, 3, ',')} {'кг' if unit else 'шт.'}")
    if miss.amount_minor:
        english, russian = _money(miss.amount_minor, currency_code)
        en.append(f"goods for {english} more")
        ru.append(f"товаров ещё на {russian}")
    return Text(
        f"{_capital(' and '.join(en))} for “{title.pick('en')}”",
        f"{_capital(' и '.join(ru))} до «{title.pick('ru')}»",
    )


def tell_missing(
    amount: int, title: Text, *, kind: str, currency_code: str, points_scale: int
) -> Text:
    """Return how much is missing to a goal; `kind` is the name of what is counted."""
    if kind == "SPEND":
        digits = currencies.decimals_of(currency_code)
        en = f"{_fixed(amount, digits, '.')} {currency_code}"
        ru = f"{_fixed(amount, digits, ',')} {currency_code}"
    elif kind == "POINTS":
        en = f"{_decimal(amount, points_scale, '.')} points"
        ru = f"баллов: {_decimal(amount, points_scale, ',')}"
    elif kind == "VISITS":
        en, ru = f"{amount} more visit{'' if amount == 1 else 's'}", f"визитов: {amount}"
    else:
        en, ru = f"{amount} more unit{'' if amount == 1 else 's'}", f"{amount} шт."
    return Text(f"{en} to “{title.pick('en')}”", f"До «{title.pick('ru')}» осталось {ru}")


def _tell_earned(points: int, terms: PointsTerms) -> Text:
    earned = _points(points, terms)
    return Text(f"You earn {earned.en}", f"Начислим {earned.ru}")


def _tell_spent(points: int, terms: PointsTerms) -> Text:
    spent = _points(points, terms)
    return Text(f"Paid with {spent.en}", f"Списано: {spent.ru}")


def tell_debt(debt: int, *, earned: int, terms: PointsTerms) -> Text:
    """Return what a member owes before a purchase that earns so many points."""
    owed, paid = _points(debt, terms), _points(min(debt, earned), terms)
    if not earned:
        return Text(
            f"Owed: {owed.en}. Points that are earned next pay this off",
            f"Долг: {owed.ru}. Его погасят следующие начисления",
        )
    return Text(
        f"Owed: {owed.en}. This purchase pays off {paid.en}",
        f"Долг: {owed.ru}. Эта покупка погасит {paid.ru}",
    )


def tell_owed(points: int, terms: PointsTerms) -> Text:
    """Return what is owed since goods came back whose points were spent."""
    owed = _points(points, terms)
    return Text(
        f"Owed: {owed.en}, spent already. Points that are earned next pay this off",
        f"Долг: {owed.ru}. Эти баллы уже потрачены, долг погасят следующие начисления",
    )


def _points(points: int, terms: PointsTerms) -> Text:
    number = _decimal(points, terms.points_scale, ".")
    noun = "point" if number == "1" else "points"
    return Text(f"{number} {noun}", _count_in_russian(points, terms))


def _count_in_russian(points: int, terms: PointsTerms) -> str:
    """Return the number with its noun; fractions take the genitive singular."""
    whole, fraction = divmod(points, 10**terms.points_scale)
    if fraction:
        return f"{_decimal(points, terms.points_scale, ',')} {_POINT[1]}"
    return count_in_russian(whole, _POINT)


def _decimal(value: int, digits: int, point: str) -> str:
    """Return the value with as many of its decimals as it needs."""
    whole, fraction = divmod(value, 10**digits)
    tail = f"{fraction:0{digits}d}".rstrip("0") if fraction else ""
    return f"{whole}{point}{tail}" if tail else str(whole)


def _fixed(value: int, digits: int, point: str) -> str:
    """Return the value with all its decimals."""
    whole, fraction = divmod(value, 10**digits)
    return f"{whole}{point}{fraction:0{digits}d}" if digits else str(whole)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
