"""Cases as scenes of our engine: campaigns, a cart, facts, and what happened before."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

from services.promotions import engine
from tools.conformance.promotions import (
    arrangement,
    conditions,
    contests,
    goods,
    offers,
    people,
    points,
)
from tools.conformance.promotions.cases import Case
from tools.conformance.promotions.gifts import Gift, Payment, StampCard
from tools.conformance.promotions.goods import Goods
from tools.conformance.promotions.offers import Offer
from tools.conformance.promotions.words import (
    Gaps,
    Unsupported,
    Words,
    read_minor,
    read_names,
    read_number,
    read_thousandths,
    read_whole,
)

_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_STORE = "store"
_SHOPPER = "shopper"
_REQUESTS_MAX = 10_000
_KNOWN = people.describe([people.KNOWN])


@dataclass(frozen=True, slots=True)
class Scenario:
    """A case in our terms.

    `payment` is set when the shopper wants to pay with points, `returned` (thousandths by line)
    when goods come back, all of them when the sale is `cancelled`. A currency unit is `worth`
    points. `presented` are the codes as written. The same cart is sold `requests` times. `told`
    are the campaigns whose gifts were chosen by what the case expects, as nothing else in it tells.
    """

    case: Case
    offers: tuple[Offer, ...]
    goods: Goods
    campaigns: tuple[engine.Campaign, ...]
    cart: engine.Cart
    presented: tuple[str, ...]
    facts: engine.Facts
    now: datetime
    worth: Fraction
    payment: Payment | None
    returned: dict[str, int] | None
    cancelled: bool
    requests: int
    told: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Event:
    """What happens besides a sale: goods that come back, a sale undone, or many sales at once."""

    returned: dict[str, int] | None = None
    cancelled: bool = False
    requests: int = 1


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a case says of the cart besides its goods."""

    goods: Goods
    codes: tuple[str, ...]
    store_id: str
    now: datetime
    attributes: dict[str, str]
    points_wanted: int | None = None
    gifts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    all_or_none: bool = False


@dataclass(frozen=True, slots=True)
class _Shopper:
    """Who buys; `names` are all by which limits may know the shopper."""

    member_id: str = ""
    names: frozenset[str] = frozenset()
    segment_ids: frozenset[str] = frozenset()
    purchases_before: int | None = None
    points: Decimal = Decimal(0)
    stamps: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, date] = field(default_factory=dict)


def read(case: Case) -> tuple[Scenario | None, tuple[str, ...]]:
    """Return the scenario, or None and everything that it lacks."""
    gaps = Gaps()
    scenario = None
    with gaps.collect():
        scenario = _read(case, gaps)
    return (None if gaps.found else scenario), gaps.found


def _read(case: Case, gaps: Gaps) -> Scenario:
    whole = Words(case.plain, "case", gaps)
    whole.drop("id", "source", "title", "tags", "fidelity", "note", "expected")
    plains = whole.open_all("campaigns")
    if "cart" not in whole:
        raise Unsupported("a case without a cart")
    cart = whole.open("cart")
    setting = _read_setting(cart)
    shopper = _read_shopper(cart)
    cart.drop("currency")
    setting.attributes.update(people.read_other(cart, texts_only=True))
    for name, value in shopper.attributes.items():  # a request says what is known of its shopper
        setting.attributes.setdefault(name, value)
    cart.close()
    found = []
    for place, words in enumerate(plains):
        with gaps.collect():
            found.append(offers.read_offer(words, place, setting.goods))
    state = whole.open("state")
    if (wanted := state.whole(*_WANTED)) is not None:
        setting = replace(setting, points_wanted=wanted)
    together = _read_all_or_none(state) or any(one.stacking.all_or_none for one in found)
    setting = replace(setting, all_or_none=together)
    requests = state.whole("parallel_requests", "concurrent_requests", "simultaneous") or 1
    most = state.whole(*_find_most_codes(state))
    given = [_bound_codes(one, most) for one in _read_state(state, found, shopper)]
    event = _read_event(whole.open("event"), setting.goods)
    event = replace(event, requests=max(event.requests, requests))
    whole.close()
    for mechanic in _find_contests(given):
        gaps.add(mechanic)
    if len({one.name for one in given}) < len(given):
        raise Unsupported("two campaigns of one name")
    if gaps.found:
        raise Unsupported(gaps.found[0])
    given = [contests.as_sets(one) for one in given] if contests.is_open(given) else given
    return _compose(case, given, setting, shopper, event)


_WANTED = (
    "points_payment",
    "pay_points",
    "use_points",
    "redeem_points",
    "points_requested",
    "requested_points",
    "points_to_use",
    "points_to_redeem",
    "points_wanted",
)


def _find_most_codes(state: Words) -> list[str]:
    return [
        name
        for name in state.left
        if {"max", "limit"} & {*name.split("_")}
        and any(sign in name for sign in ("redeemable", "code", "coupon", "voucher"))
        and isinstance(state.peek(name), int)
    ]


def _bound_codes(offer: Offer, most: int | None) -> Offer:
    """Return a campaign as one of those with a code, of which a request may have so many."""
    stacking = offer.stacking
    if not most or not offer.code or stacking.group:
        return offer
    first = engine.GroupChoice.FIRST
    stacking = replace(stacking, group="~codes", choice=first, group_max=most)
    return replace(offer, stacking=stacking)


def _read_setting(cart: Words) -> _Setting:
    codes = tuple(read_names(cart.take("coupons", "codes"), "cart.coupons"))
    store_id = cart.text("store") or _STORE
    attributes = people.read_attributes(cart) | people.describe_codes(codes)
    attributes[people.STORE] = store_id
    if "channel" in cart:
        attributes[people.CHANNEL] = cart.text("channel")
    return _Setting(
        goods=goods.read_goods(cart),
        codes=codes,
        store_id=store_id,
        now=offers.read_instant(cart.text("time")) or _NOON,
        attributes=attributes,
        gifts=_read_chosen(cart),
        points_wanted=cart.whole(*_WANTED),
    )


def _read_chosen(cart: Words) -> dict[str, tuple[str, ...]]:
    """Return the gifts that the shopper asks for: by campaign, or of the only one under ""."""
    found = cart.take("gift_choices", "gift_choice", "chosen_gifts", "selected_gifts", default={})
    if not isinstance(found, Mapping):
        found = {"": found}
    return {name: tuple(read_names(one, "cart.gift_choices")) for name, one in found.items()}


def _read_all_or_none(state: Words) -> bool:
    """Return whether one code that cannot be used takes the others with it."""
    found = state.flag("all_or_nothing", "all_or_none")
    for name in state.left:
        said = state.peek(name)
        if name.endswith(("_policy", "_mode")) and str(said).lower() in _WAYS_OF_CODES:
            found = found or str(state.take(name)).lower().startswith("all")
            state.drop(name)
    return found


_WAYS_OF_CODES = frozenset({"all", "all_or_nothing", "all_or_none", "partial", "skip"})


def _read_shopper(cart: Words) -> _Shopper:
    if "member" not in cart:
        return _Shopper()
    if isinstance(cart.peek("member"), str):
        cart.put("member", {"id": cart.take("member")})
    words = cart.open("member")
    email = words.text("email")
    member_id = words.text("id") or email or _SHOPPER
    segments = words.names("segments", "segment") | words.names("groups", "group")
    segments |= words.names("tiers", "tier") | frozenset(
        conditions.member_segment(name) for name in (member_id, email) if name
    )
    said = people.read_attributes(words)
    before = words.whole(
        "orders_placed", "orders", "purchases_before", "order_count", "orders_count"
    )
    dates = _read_dates(words)
    points_of, stamps_of = words.take("points", "balance", default=0), words.table("stamps")
    said |= people.read_other(words, texts_only=False)
    shopper = _Shopper(
        member_id=member_id,
        names=frozenset({member_id, email, *said.values()}),
        segment_ids=segments,
        purchases_before=before,
        points=read_number(points_of, "member.points"),
        stamps={name: read_whole(count, "member.stamps") for name, count in stamps_of.items()},
        dates=dates,
        attributes=said | people.describe(map(conditions.segment_of, segments)) | _KNOWN,
    )
    words.close()
    return shopper


def _read_dates(words: Words) -> dict[str, date]:
    """Return the shopper's birthday, of a leap year as our engine has it."""
    text = words.text("birthday", "birth_date", "date_of_birth")
    if not text:
        return {}
    try:
        month, day = map(int, text[:10].split("-")[-2:])
        return {people.BIRTHDAY: date(4, month, day)}
    except ValueError as problem:
        raise Unsupported(f"a birthday like {text}") from problem


def _read_state(words: Words, found: list[Offer], shopper: _Shopper) -> list[Offer]:
    """Return the campaigns with what has been used of their limits before."""
    counts = {name: words.take(name) for name in words.left if _is_count(words, name)}
    given = []
    for offer in found:
        names, limits = {offer.code, offer.name} - {""}, offer.limits
        uses, member_uses, spent = [limits.uses], [limits.member_uses], [limits.spent_minor]
        undone = 0
        for name, told in counts.items():
            if any(sign in name for sign in _UNDONE):
                undone += sum(
                    read_whole(one, f"state.{name}")
                    for one in _find(told, names | shopper.names)
                    if limits.reusable
                )
                continue
            by_member = any(sign in name for sign in _OF_MEMBERS)
            keys = names | shopper.names if by_member else names
            if _SPENDS & {*name.split("_")}:
                spent.append(sum(read_minor(one, f"state.{name}") for one in _find(told, keys)))
            else:
                count = sum(read_whole(one, f"state.{name}") for one in _find(told, keys))
                (member_uses if by_member else uses).append(count)
        limits = replace(
            limits,
            uses=max(0, max(uses) - undone),
            member_uses=max(0, max(member_uses) - undone),
            spent_minor=max(spent),
        )
        given.append(replace(offer, limits=limits))
    forced = _close_state(words)
    return [
        replace(one, limits=replace(one.limits, forced=forced and bool(one.code))) for one in given
    ]


def _close_state(words: Words) -> bool:
    """Return whether a code counts as used although it gives nothing.

    The rest does not change an answer: an evaluation remembers nothing of earlier ones.
    """
    words.drop(
        "previous_gifts",
        "cart_before",
        "code_applied_before_identification",
        "cancelled_orders",
        "removed_codes",
        "same_key_retry",
        "tender",
    )
    policy = words.text("no_effect_policy") or "prevent"
    if policy not in {"prevent", "force"}:
        words.gaps.add(f"unknown word: state.no_effect_policy {policy}")
    words.close()
    return policy == "force"


def _is_count(words: Words, name: str) -> bool:
    """Tell whether a word counts uses, or those of them that were undone."""
    undone = any(sign in name for sign in _UNDONE) and isinstance(words.peek(name), Mapping)
    return bool(_COUNTS & {*name.split("_")}) or undone


_UNDONE = ("cancel", "void", "revert", "returned")
_SPENDS = frozenset({"spend", "spent", "budget"})
_COUNTS = _SPENDS | {"usage", "usages", "uses", "used", "redemptions"}
_OF_MEMBERS = ("member", "customer", "user", "shopper", "attribute")


def _find(told: object, keys: AbstractSet[str]) -> list[object]:
    """Return the counts under these names, however deep; a count alone is anybody's."""
    if not isinstance(told, Mapping):
        return [told]
    return [one for key in keys & told.keys() for one in _find(told[key], keys)]


_CANCELS = ("cancel", "void", "rollback", "undo")
_RETURNS = ("return", "refund")
_RACE_SIGNS = ("concurren", "parallel", "simultan")
_RACES = frozenset({"concurrent", "concurrent_requests", "concurrent_commits", "parallel", "race"})


def _read_event(words: Words, cart_goods: Goods) -> _Event:
    kind = words.text("type")
    # Whatever is told of the ways of returns: ours are one and the same for all.
    words.drop("policy", "return_policy", "reason")
    if any(sign in kind for sign in _CANCELS):
        everything = {line.line_id: line.quantity_thousandths for line in cart_goods.lines}
        event = _Event(everything, cancelled=True)
    elif kind in _RACES or any(sign in kind for sign in _RACE_SIGNS):
        event = _Event(requests=words.whole("requests", "count", "n", "parallel") or 1)
        if not 1 <= event.requests <= _REQUESTS_MAX:
            raise Unsupported(f"{words.where}.requests that are none, or too many")
    elif any(sign in kind for sign in _RETURNS):
        if isinstance(listed := words.peek("lines"), list):
            words.put("lines", _read_returned(listed))
        lines = words.table("lines")
        event = _Event(
            {line: read_thousandths(quantity, "event.lines") for line, quantity in lines.items()}
        )
    elif kind:
        raise Unsupported(f"event: {kind}")
    else:
        event = _Event()
    words.close()
    return event


def _read_returned(listed: list[object]) -> dict[str, object]:
    """Return what comes back by line, of a list of entries; a name alone is one unit."""
    found: dict[str, object] = {}
    for one in listed:
        if isinstance(one, Mapping):
            words = Words(one, "event.lines", Gaps())
            found[words.text("line", "id", "line_id", "sku")] = words.take("qty", "quantity") or 1
        else:
            found[str(one)] = 1
    return found


def _find_contests(given: list[Offer]) -> list[str]:
    """Return what only several campaigns together ask for."""
    found = []
    if contests.is_open(given) and not all(map(contests.can_be_sets, given)):
        found.append(offers.COMBINATION)
    payments = [one for one in given if one.gift.payment]
    if len(payments) > 1 or any(not _is_plain(one) or one.code for one in payments):
        found.append("points payment under conditions")
    if any(one.gift.tender and one.terms != conditions.Terms() for one in given):
        found.append("tender under conditions")
    return found


def _is_plain(one: Offer) -> bool:
    """Tell whether all that a payment asks for is enough on the receipt, as our settings can."""
    bare = replace(one.terms, conditions=[], asked=[])
    return bare == conditions.Terms() and all(map(_find_receipt_min, one.terms.conditions))


def _with_receipt_min(one: Offer) -> Offer:
    """Return a campaign whose payment has the least receipt that its conditions ask for."""
    payment = one.gift.payment
    if payment is None:
        return one
    least = max(payment.receipt_min_minor, *map(_find_receipt_min, one.terms.conditions), 0)
    return replace(one, gift=replace(one.gift, payment=replace(payment, receipt_min_minor=least)))


def _find_receipt_min(asked: engine.Condition) -> int:
    """Return the least receipt that a condition asks for, 0 when it asks for something else."""
    if not isinstance(asked, engine.BasketTotal):
        return 0
    meant = asked.filter
    narrow = meant.skus or meant.category_ids or meant.brands or meant.tags
    return 0 if narrow else asked.amount_min_minor


def _compose(
    case: Case,
    given: list[Offer],
    setting: _Setting,
    shopper: _Shopper,
    event: _Event,
) -> Scenario:
    given = [_with_receipt_min(one) for one in given]
    payment = next((one.gift.payment for one in given if one.gift.payment), None)
    if payment and setting.points_wanted is not None:
        bounds = [one for one in (payment.points_max, setting.points_wanted) if one is not None]
        payment = replace(payment, points_max=min(bounds))
    gift_choices, told = _choose_gifts(case, given, setting)
    terms, worth = points.find_terms([one.gift for one in given])
    codes = _choose_codes(given)
    cart_goods = setting.goods
    if payment and payment.excluded:
        cart_goods = cart_goods.exclude_from_payment(payment.excluded)
    return Scenario(
        case=case,
        offers=tuple(given),
        goods=cart_goods,
        campaigns=_make_campaigns(given, setting, codes, worth, scale=terms.points_scale),
        cart=engine.Cart(
            store_id=setting.store_id,
            channel=engine.Channel.TILL,
            currency_code="USD",
            lines=cart_goods.lines,
            coupon_codes=_present(setting.codes, given, codes),
            attributes=setting.attributes,
            gift_choices=gift_choices,
            codes_all_or_none=setting.all_or_none,
        ),
        presented=setting.codes,
        facts=engine.Facts(
            store=engine.Store(),
            articles=cart_goods.articles,
            member=_make_member(given, shopper, terms),
            remaining={one.name: one.limits.find_remaining(cart_goods.articles) for one in given},
            terms=terms,
        ),
        now=setting.now,
        worth=worth,
        payment=payment,
        returned=event.returned,
        cancelled=event.cancelled,
        requests=event.requests,
        told=told,
    )


def _choose_codes(given: list[Offer]) -> dict[str, str]:
    """Return a code for each campaign with one: our campaigns share none, so sharers get own."""
    folded = [one.code.upper() for one in given if one.code]
    return {
        one.name: one.code if folded.count(one.code.upper()) == 1 else f"{one.code}#{one.place}"
        for one in given
        if one.code
    }


def _present(
    presented: tuple[str, ...], given: list[Offer], codes: Mapping[str, str]
) -> tuple[str, ...]:
    found: list[str] = []
    for code in presented:
        meant = [one for one in given if one.code and one.code.upper() == code.upper()]
        found.extend(
            [code if codes[one.name] == one.code else codes[one.name] for one in meant] or [code]
        )
    return tuple(found)


def _choose_gifts(
    case: Case, given: list[Offer], setting: _Setting
) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Return what the shopper chooses among gifts, and the campaigns where just the answer tells.

    The cart says it. Where it does not, the first gifts are as good as any; a case that expects
    other ones has them, as its shopper must have asked for them, and is counted.
    """
    chosen, told = {}, set()
    for offer in given:
        kinds = [one.kind for one in offer.gift.rewards if isinstance(one.kind, engine.GiftItems)]
        for kind in kinds:
            if not kind.choose:
                continue
            first = tuple(item.sku for item in kind.items[: kind.choose])
            answered = _find_expected_gifts(case, offer.name)
            choice = setting.gifts.get(offer.name) or setting.gifts.get("")
            chosen[offer.name] = choice or answered or first
            if not choice and answered and {*answered} != {*first}:
                told.add(offer.name)
    return chosen, frozenset(told)


def _find_expected_gifts(case: Case, name: str) -> tuple[str, ...]:
    expected = case.part("expected")
    listed = expected.get("gifts") if isinstance(expected, Mapping) else None
    wanted = [one for one in listed or [] if isinstance(one, Mapping)]
    return tuple(str(one.get("sku")) for one in wanted if one.get("campaign") == name)


def _make_member(
    given: list[Offer], shopper: _Shopper, terms: engine.PointsTerms
) -> engine.Member | None:
    """Return the member; points need one even where the case does not name the shopper."""
    if not shopper.member_id and not any(one.gift.earns or one.gift.payment for one in given):
        return None
    return engine.Member(
        member_id=shopper.member_id or _SHOPPER,
        segment_ids=shopper.segment_ids,
        stamps={card_of(name): count for name, count in shopper.stamps.items()},
        purchases_before=shopper.purchases_before,
        points_balance=int(shopper.points * 10**terms.points_scale),
        attributes=shopper.attributes,
        dates=shopper.dates,
    )


def _make_campaigns(
    given: list[Offer],
    setting: _Setting,
    codes: Mapping[str, str],
    worth: Fraction,
    *,
    scale: int,
) -> tuple[engine.Campaign, ...]:
    combined = arrangement.arrange(given, setting.codes, lines=len(setting.goods.counted_lines))
    combined |= arrangement.arrange_earnings(given)
    made = [
        engine.Campaign(one.name, 1, _make_rules(one, combined, codes, worth, scale=scale))
        for one in given
        if one.live and (one.gift.earns or one.gift.reduces)
    ]
    made += [_make_stamps(one, one.gift.stamp_card) for one in given if one.gift.stamp_card]
    return tuple(made)


def _make_stamps(one: Offer, card: StampCard) -> engine.Campaign:
    """Return the campaign that gives the stamps which another one takes."""
    kind = engine.EarnStamps(card_of(one.name), 1, engine.PointsSpread.EACH_UNIT)
    rules = engine.Rules(
        engine.Text(one.name),
        (engine.Reward(kind, card.filter),),
        engine.Combination(engine.Lane.EARN),
    )
    return engine.Campaign(f"{one.name}~stamps", 1, rules)


def card_of(name: str) -> str:
    """Return the stamp card of a campaign."""
    return f"card-{name.lower()}"


def _find_price(gift: Gift, scale: int) -> engine.PointsPrice | None:
    if not gift.points_price:
        return None
    points = gift.points_price * 10**scale
    if points.denominator != 1:
        raise Unsupported("a price finer than points are")
    return engine.PointsPrice(int(points))


def _make_rules(
    one: Offer,
    combined: Mapping[str, engine.Combination],
    codes: Mapping[str, str],
    worth: Fraction,
    *,
    scale: int,
) -> engine.Rules:
    gift, terms = one.gift, one.terms
    return engine.Rules(
        title=engine.Text(one.name),
        rewards=() if gift.scale else gift.rewards or (points.make_earning(gift, worth),),
        scale=gift.scale,
        stamp_price=engine.StampPrice(card_of(one.name), gift.stamp_card.size)
        if gift.stamp_card
        else None,
        points_price=_find_price(gift, scale),
        combination=combined[one.name],
        trigger=(
            engine.CouponTrigger((codes[one.name],)) if one.code else engine.AutomaticTrigger()
        ),
        validity=engine.Validity(one.start_time, one.end_time, terms.weekdays, terms.hours),
        audience=engine.Audience(
            membership=terms.membership,
            store_ids=terms.store_ids,
            exclude_store_ids=terms.exclude_store_ids,
            segment_ids=terms.segment_ids,
            exclude_segment_ids=terms.exclude_segment_ids,
        ),
        condition=terms.condition,
        multi_buy=gift.multi_buy,
        limits=engine.Limits(
            one.limits.uses_max,
            one.limits.uses_per_member_max,
            one.limits.budget_minor,
            engine.BudgetRest.KEEP if one.limits.partial is False else engine.BudgetRest.GIVE,
            count_sets=one.limits.counts_sets and gift.multi_buy is not None,
            units_max=one.limits.units_max,
            units_per_article_max=one.limits.article_units_max,
            units_per_member_max=one.limits.member_units_max,
            count_without_effect=one.limits.forced,
        ),
    )
