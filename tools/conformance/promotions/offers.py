"""Campaigns of a case, each read for itself: when, for whom, what, how often, beside whom."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.promotions import engine
from tools.conformance.promotions import conditions, rewards
from tools.conformance.promotions.conditions import Terms
from tools.conformance.promotions.gifts import Gift, Setting
from tools.conformance.promotions.goods import Goods
from tools.conformance.promotions.words import (
    Unsupported,
    Words,
    read_names,
    read_number,
    read_whole,
)

COMBINATION = "the best combination of overlapping campaigns"
_MODES = frozenset(
    {
        "",
        "stack",
        "common",
        "exclusive",
        "combine_by_class",
        "best_total",
        "best_price_no_compound",
        "best_deal",
        "exclusive_if_better",
    }
)
_ALONE_MODES = frozenset({"exclusive", "never", "never_stackable", "not_stackable"})
_ALONE_SIGNS = ("individual", "alone", "standalone", "no_other", "not_combin")
_ALWAYS_MODES = frozenset({"always", "always_stackable"})
_ADDITIVE = frozenset({"additive", "stack_additive", "parallel"})
_COMPOUND = frozenset({"compound", "stack_compound", "sequential", "cascade"})
# Which of a group is applied, in the words of modes and of group modes.
_CHOICES = {
    **dict.fromkeys(("best_of", "best", "highest", "highestDiscount"), engine.GroupChoice.BEST),
    **dict.fromkeys(("least_of", "lowest", "lowestDiscount"), engine.GroupChoice.LEAST),
    **dict.fromkeys(("first", "first_of", "first_match", "listOrder"), engine.GroupChoice.FIRST),
    **dict.fromkeys(
        (
            "latest_code",
            "last_code",
            "last_code_wins",
            "later_replaces",
            "replace",
            "replace_previous",
            "one_code",
            "single_code",
        ),
        engine.GroupChoice.LATEST_CODE,
    ),
}
_ALL_OF_GROUP = frozenset({"", "stackable", "stack", "all"})
_CHOICE_SIGNS = {
    engine.GroupChoice.LEAST: ("lowest", "least"),
    engine.GroupChoice.BEST: ("best", "highest", "most", "largest"),
    engine.GroupChoice.FIRST: ("first", "listorder", "list_order"),
    engine.GroupChoice.LATEST_CODE: ("last", "latest"),
}
_ONE_CODE = tuple(
    f"{one}_{of}" for one in ("one", "single") for of in ("code", "coupon", "voucher")
)
_STOP_SIGNS = frozenset({"stop", "stops", "discard", "discards"})
_LIVE = frozenset({"live", "active", "enabled", "published"})
_NOT_LIVE = frozenset(
    {"draft", "inactive", "paused", "ended", "disabled", "archived", "stopped", "expired"}
)
_ALONE = "~alone"
_BY_LINE = frozenset({"line", "item", "unit", "product", "article", "cart_item", "cartItem"})
_ALL_OR_NONE = ("all_or_no",)
_ONE_EACH = tuple(
    f"one_{what}per_{unit}"
    for what in ("", "discount_", "campaign_", "promotion_", "offer_")
    for unit in ("product", "item", "line", "unit", "article")
)
_RUNNING = frozenset(
    {
        "remaining_after_previous",
        "running",
        "after_catalogue_promotion",
        "after_item_offers",
        "after_previous_campaigns",
        "discounted",
    }
)
_BASIS_SIGNS = {
    engine.Basis.ORIGINAL: ("original", "initial", "before", "regular", "list", "full", "base"),
    engine.Basis.RUNNING: ("remain", "running", "after", "discounted", "cascad", "compound"),
}
_ORIGINAL = frozenset({"original", "initial", "before_discounts", "regular"})


@dataclass(frozen=True, slots=True)
class Stacking:
    """How a campaign goes together with others, in the words of the case.

    `by_value` and `by_priority` are 1 where the larger comes first, -1 where the smaller does.
    """

    mode: str = ""
    basis: engine.Basis | None = None
    by_value: int = 0
    by_priority: int = 0
    sets_first: bool = False
    stop: bool = False
    combinable: bool = True
    always: bool = False
    lane: str = ""
    group: str = ""
    choice: engine.GroupChoice = engine.GroupChoice.BEST
    by_line: bool = False
    group_max: int = 0
    side: str = ""
    kind: str = ""
    combines_with: frozenset[str] = frozenset()
    all_or_none: bool = False
    incompatible_with: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much there is of a campaign, and how much of it has been used.

    `reusable` says that what cancelled purchases used can be used again.
    """

    uses_max: int = 0
    uses_per_member_max: int = 0
    budget_minor: int = 0
    uses: int = 0
    member_uses: int = 0
    spent_minor: int = 0
    sets_max: int = 0
    partial: bool | None = None
    counts_sets: bool = False
    units_max: int = 0
    units: int = 0
    member_units_max: int = 0
    member_units: int = 0
    article_units_max: int = 0
    article_units: Mapping[str, int] = field(default_factory=dict)
    forced: bool = False
    reusable: bool = True

    def find_remaining(self, skus: Iterable[str]) -> engine.Remaining:
        """Return what is left of everything, of units for each of these articles."""
        most, used = self.article_units_max, self.article_units
        return engine.Remaining(
            uses=max(0, self.uses_max - self.uses),
            member_uses=max(0, self.uses_per_member_max - self.member_uses),
            budget_minor=max(0, self.budget_minor - self.spent_minor),
            units=max(0, self.units_max - self.units),
            member_units=max(0, self.member_units_max - self.member_units),
            article_units={sku: max(0, most - used.get(sku, 0)) for sku in skus},
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """One campaign of a case; `place` is its place in the file, `code` empty when automatic."""

    name: str
    place: int
    code: str
    gift: Gift
    terms: Terms
    stacking: Stacking
    limits: Limits
    priority: int | None
    start_time: datetime | None
    end_time: datetime | None
    catalogue: bool
    live: bool

    @property
    def contends(self) -> bool:
        """Tell whether it wants the best combination of all that want the same goods."""
        return self.stacking.mode in {"best_total", "best_price_no_compound"}


def read_offer(words: Words, place: int, cart_goods: Goods) -> Offer:
    """Return a campaign; what cannot be said of it is remembered as a gap."""
    name = words.text("id") or f"#{place}"
    terms = conditions.read_terms(words.open_all("conditions"), cart_goods)
    for group in words.open_all("set_groups", "groups", "sets"):
        terms.bundle.append(conditions.read_group(group, cart_goods))
        group.close()
    limits = _read_limits(words.open("limits"))
    gift = Gift()
    with words.gaps.collect():
        setting = Setting(cart_goods, terms, limits.sets_max)
        gift = rewards.read_gift(words.open("reward"), setting)
    terms.settle_bundle()
    inner = words.open("stacking")
    rank = _read_rank(words, inner)
    hierarchy = inner.whole("hierarchy", "category_hierarchy")
    if hierarchy is not None:  # the smaller one goes first
        rank = -hierarchy
    stacking = _read_stacking(inner)
    stops = _find_stops(words)
    if any(words.flag(name) for name in stops):
        stacking = replace(stacking, stop=True)
    phase = words.text("phase")
    if phase not in {"", "catalogue"}:
        words.gaps.add(f"unknown word: phase {phase}")
    offer = Offer(
        name=name,
        place=place,
        code=_read_trigger(words.open("trigger")),
        gift=gift,
        terms=terms,
        stacking=stacking,
        limits=limits,
        priority=rank,
        start_time=read_instant(words.text("starts") or terms.starts),
        end_time=read_instant(words.text("ends") or terms.ends),
        catalogue=phase == "catalogue",
        live=_read_status(words),
    )
    words.drop(
        "name", "title", "on_return", "on_cancel", "return_policy"
    )  # what returns do is ours to decide
    words.close()
    return offer


def _read_rank(*places: Words) -> int | None:
    """Return what is larger for whoever comes first: a priority, or a place in a row.

    Places are counted from the first on, but for fractions: of those the larger comes first.
    """
    for words in places:
        found = words.take("priority", "rank")
        if found is not None:
            return int(read_number(found, f"{words.where}.priority") * _RANKS)
        found = words.take("sort_order", "position", "sequence")
        if found is not None:
            order = read_number(found, f"{words.where}.sort_order")
            downwards = 0 < order < 1 or "desc" in str(words.peek("order") or "")
            return int(order * _RANKS) * (1 if downwards else -1)
    return None


_RANKS = 1_000_000


def read_instant(text: str) -> datetime | None:
    """Return a moment; one without an offset is the store's own time, and stores live in UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as problem:
        raise Unsupported(f"a moment like {text}") from problem
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_status(words: Words) -> bool:
    status = words.text("status") or "live"
    if status not in _LIVE | _NOT_LIVE:
        words.gaps.add(f"unknown word: status {status}")
    return status in _LIVE and words.flag("active", "enabled", default=True)


def _read_trigger(words: Words) -> str:
    kind = words.text("type") or "automatic"
    if kind not in {"automatic", "code", "coupon", "voucher"}:
        words.gaps.add(f"unknown word: trigger.type {kind}")
    codes = read_names(words.take("code", "codes", default=[]), f"{words.where}.code")
    words.close()
    if len(codes) > 1:
        raise Unsupported("a campaign of several codes")
    return codes[0] if codes else ""


_USES = ("usage_limit", "max_uses", "total_uses", "uses", "max_redemptions", "global_limit")
_MEMBER_USES = (
    "per_member",
    "per_customer",
    "per_user",
    "usage_limit_per_member",
    "usage_limit_per_customer",
    "usage_limit_per_user",
    "max_uses_per_member",
    "member_limit",
    "per_member_period",
    "per_member_and_period",
)
_REUSED = frozenset({"reusable", "reuse", "release", "released", "free", "restore", "restored"})
_MONEY = ("max_total_discount", "total_discount", "spend_limit", "budget_amount")


def _read_bound(words: Words, *names: str, minor: bool = False) -> tuple[int, int]:
    """Return a limit and what has been used of it, written as one number or as both.

    Of a limit for a period the case tells what was used within it.
    """
    name = next((one for one in names if one in words), "")
    if not isinstance(words.peek(name), Mapping):
        return (words.minor if minor else words.whole)(*names) or 0, 0
    inner = words.open(name)
    read = inner.minor if minor else inner.whole
    bound = read("limit", "max") or 0, read("used", "used_in_period", "count") or 0
    inner.drop("period", "per", "days")
    inner.close()
    return bound


_UNITS = frozenset({"units", "unit", "items", "pieces"})
_OF_ARTICLES = {"article", "sku", "product", "articles", "skus", "products"}
_OF_MEMBERS = {"member", "customer", "user", "shopper"}


def _find_bound(words: Words, parts: set[str]) -> str:
    """Return the word for a bound on units of just these: `units_per_sku`, `member_units`."""
    for name in words.left:
        said = {*name.split("_")}
        of = said & (_OF_ARTICLES | _OF_MEMBERS)
        if said & _UNITS and bool(of) == bool(parts) and of <= parts:
            return name
    return ""


def _read_limits(words: Words) -> Limits:
    """Return the limits; what has been used of them by codes and members stands in the state."""
    uses_max, uses = _read_bound(words, *_USES)
    member_max, member_uses = _read_bound(words, *_MEMBER_USES)
    budget, spent = _read_bound(words, *_MONEY, minor=True)
    counts_sets = False
    name = "campaign_budget" if "campaign_budget" in words else "budget"
    if name in words:
        inner = words.open(name)
        kind = inner.text("type")
        match kind:
            case "spend" | "money" | "amount":
                budget, spent = inner.minor("limit") or 0, inner.minor("used") or 0
            case "usage" | "uses":
                uses_max, uses = inner.whole("limit") or 0, inner.whole("used") or 0
                counts_sets = True
            case "usage_per_attribute" | "usage_by_attribute" | "usage_per_member":
                inner.drop("attribute")  # whatever it is, the state counts by its value
                member_max = inner.whole("limit") or 0
                member_uses = inner.whole("used") or member_uses
            case _:
                words.gaps.add(f"unknown word: campaign_budget.type {kind}")
        inner.drop("shared", "used")
        inner.close()
    partial = words.take("partial_allowed", "partial")
    by_article = _find_bound(words, _OF_ARTICLES)
    article_max, article_used = 0, {}
    if by_article:
        articles = words.open(by_article)
        article_max = articles.whole("limit", "max") or 0
        article_used = {
            sku: read_whole(used, f"limits.{by_article}")
            for sku, used in articles.table("used").items()
        }
        articles.close()
    member_units_max, member_units = _read_bound(words, _find_bound(words, _OF_MEMBERS))
    units_max, units_used = _read_bound(words, _find_bound(words, set()))
    reusable = words.flag(*_find_reusable(words), default=True)
    # What is no set is given once anyway.
    sets_max = words.whole(*conditions.MOST_SETS, *_find_per_order(words)) or 0
    words.close()
    return Limits(
        uses_max=uses_max,
        uses_per_member_max=member_max,
        budget_minor=budget,
        uses=uses,
        member_uses=member_uses,
        spent_minor=spent,
        sets_max=sets_max,
        counts_sets=counts_sets,
        units_max=units_max,
        units=units_used,
        member_units_max=member_units_max,
        member_units=member_units,
        article_units_max=article_max,
        article_units=article_used,
        partial=partial if isinstance(partial, bool) else None,
        reusable=reusable,
    )


def _find_reusable(words: Words) -> list[str]:
    """Return the words for what is usable again after a sale is cancelled."""
    return [
        name
        for name in words.left
        if "_cancel" in name and {*name.split("_")} & _REUSED and isinstance(words.peek(name), bool)
    ]


def _find_stops(words: Words) -> list[str]:
    """Return the words that say that nothing comes after: `stop_processing`, `discard_later`."""
    return [name for name in words.left if _STOP_SIGNS & {*name.split("_")}]


def _find_per_order(words: Words) -> list[str]:
    """Return the words for how often within one order: `max_uses_per_order`, `per_receipt`."""
    return [
        name
        for name in words.left
        if name.endswith(tuple(f"per_{one}" for one in _ONE_ORDER))
        and not {"discount", "amount", "value"} & {*name.split("_")}
    ]


_ONE_ORDER = ("order", "cart", "receipt", "basket", "purchase")


def _find_foes(words: Words) -> list[str]:
    """Return the words for whom it does not go with: `not_with`, `cannot_be_combined_with`."""
    return [
        name
        for name in words.left
        if name in {"excludes", "exclusions"}
        or (name.endswith("_with") and _AGAINST & {*name.split("_")})
    ]


_AGAINST = frozenset({"not", "incompatible", "cannot", "never", "exclusive", "without"})


def _read_stacking(words: Words) -> Stacking:
    mode = words.text("eligibility", "mode") or words.text("mode")
    words.drop("category")
    if mode in _ALONE_MODES or any(sign in mode for sign in _ALONE_SIGNS):
        mode = "exclusive"
    all_or_none = any(sign in mode for sign in _ALL_OR_NONE)
    if mode in _ALL_OF_GROUP | {"joint", "partial"} or all_or_none:
        mode = "stack" if mode else ""
    one_each = any(sign in mode for sign in _ONE_EACH) or words.flag(*_ONE_EACH)
    if one_each:
        mode = "best_of"
    if mode not in _MODES | _ADDITIVE | _COMPOUND | _ALWAYS_MODES and not _choose(mode):
        words.gaps.add(f"unknown word: stacking.mode {mode}")
    order = words.text("order")
    by_value, by_priority = _read_order(order, words)
    lane = words.text("lane")
    group_max = words.whole("group_limit", "group_max") or 0
    group, choice = _read_group(words, mode, lane, limited=group_max > 0)
    scope = words.text("scope")
    stop = any(words.flag(name) for name in _find_stops(words))
    if stop and scope in _BY_LINE:
        words.gaps.add("campaigns that stop others on the goods that they have touched")
    words.drop("among", "unit_once")
    side = words.text("side") if mode == "best_deal" else ""
    words.drop("side")
    stacking = Stacking(
        mode=mode,
        basis=_read_basis(words, mode),
        by_value=by_value,
        by_priority=by_priority,
        sets_first=order.startswith("buy_get first"),
        stop=stop,
        always=mode in _ALWAYS_MODES,
        combinable=words.flag("combinable", "combines", default=True),
        lane=lane,
        group=group,
        choice=choice,
        by_line=bool(group) and (scope in _BY_LINE or bool(lane) or one_each),
        group_max=group_max,
        all_or_none=all_or_none,
        side=_ALONE if mode == "exclusive_if_better" else side,
        kind=words.text("class"),
        combines_with=words.names("combines_with"),
        incompatible_with=words.names(*_find_foes(words)) if _find_foes(words) else frozenset(),
    )
    words.close()
    return stacking


def _read_order(text: str, words: Words) -> tuple[int, int]:
    """Return what an order says of values and of priorities, such as "priority descending"."""
    last = re.split(",| then ", text)[-1]
    sign = -1 if "ascending" in last else 1
    if "value" in last:
        return sign, 0
    if any(one in last for one in ("priority", "hierarchy", "sort")):
        return 0, sign
    if text and not any(one in last for one in _AS_GIVEN):
        words.gaps.add(f"unknown word: stacking.order {text}")
    return 0, 0


_AS_GIVEN = ("request", "given", "file", "list", "enter", "entry")


def _read_group(
    words: Words, mode: str, lane: str, *, limited: bool
) -> tuple[str, engine.GroupChoice]:
    """Return the exclusive group, and which of it is applied."""
    group, group_mode = words.text("group", "exclusive_group"), words.text("group_mode")
    by_mode, by_group = _choose(mode), _choose(group_mode)
    if by_group is None and group_mode not in _ALL_OF_GROUP:
        words.gaps.add(f"unknown word: stacking.group_mode {group_mode}")
    choice = by_mode or by_group or engine.GroupChoice.BEST
    if by_mode:
        return group or lane or "best", choice
    if limited:
        return group or "limited", engine.GroupChoice.FIRST
    return (group if by_group else ""), choice


def _choose(mode: str) -> engine.GroupChoice | None:
    """Return which of a group is applied, None where the mode does not say it."""
    if mode in _MODES:
        return None
    folded = mode.lower()
    if "priority" in folded:
        return engine.GroupChoice.FIRST
    if any(sign in folded for sign in _ONE_CODE):
        return engine.GroupChoice.LATEST_CODE
    signs = ((one, any(sign in folded for sign in of)) for one, of in _CHOICE_SIGNS.items())
    return _CHOICES.get(mode) or next((one for one, said in signs if said), None)


def _read_basis(words: Words, mode: str) -> engine.Basis | None:
    name = words.text("basis")
    if not name and mode in _ADDITIVE | _COMPOUND:
        return engine.Basis.ORIGINAL if mode in _ADDITIVE else engine.Basis.RUNNING
    if name in _RUNNING:
        return engine.Basis.RUNNING
    if name in _ORIGINAL:
        return engine.Basis.ORIGINAL
    for basis, signs in _BASIS_SIGNS.items():
        if any(sign in name.lower() for sign in signs):
            return basis
    if name:
        words.gaps.add(f"unknown word: stacking.basis {name}")
    return None
