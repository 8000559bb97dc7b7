"""Campaigns of a case, each read for itself: when, for whom, what, how often, beside whom."""

from dataclasses import dataclass
from datetime import UTC, datetime

from services.promotions import engine
from tools.conformance.promotions import conditions, rewards
from tools.conformance.promotions.conditions import Terms
from tools.conformance.promotions.gifts import Gift, Setting
from tools.conformance.promotions.goods import Goods
from tools.conformance.promotions.words import Unsupported, Words

COMBINATION = "the best combination of overlapping campaigns"
_MODES = frozenset(
    {
        "",
        "stack",
        "exclusive",
        "best_of",
        "combine_by_class",
        "best_total",
        "best_price_no_compound",
        "best_deal",
        "exclusive_if_better",
    }
)
_ALONE = "~alone"
_RUNNING = frozenset(
    {"remaining_after_previous", "running", "after_catalogue_promotion", "after_item_offers"}
)
_ORIGINAL = frozenset({"original", "initial", "before_discounts"})


@dataclass(frozen=True, slots=True)
class Stacking:
    """How a campaign goes together with others, in the words of the case."""

    mode: str = ""
    basis: engine.Basis | None = None
    by_value: bool = False
    by_priority: bool = False
    sets_first: bool = False
    group: str = ""
    by_line: bool = False
    group_max: int = 0
    side: str = ""
    kind: str = ""
    combines_with: frozenset[str] = frozenset()
    incompatible_with: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much there is of a campaign, and how much of it has been used."""

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
    forced: bool = False

    @property
    def remaining(self) -> engine.Remaining:
        """Return what is left of everything."""
        return engine.Remaining(
            uses=max(0, self.uses_max - self.uses),
            member_uses=max(0, self.uses_per_member_max - self.member_uses),
            budget_minor=max(0, self.budget_minor - self.spent_minor),
            units=max(0, self.units_max - self.units),
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


def read_offer(words: Words, place: int, cart_goods: Goods) -> Offer:
    """Return a campaign; what cannot be said of it is remembered as a gap."""
    name = words.text("id") or f"#{place}"
    terms = conditions.read_terms(words.open_all("conditions"), cart_goods)
    limits = _read_limits(words.open("limits"))
    gift = Gift()
    with words.gaps.collect():
        setting = Setting(cart_goods, terms, limits.sets_max)
        gift = rewards.read_gift(words.open("reward"), setting)
    terms.settle_bundle()
    stacking = _read_stacking(words.open("stacking"))
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
        priority=words.whole("priority"),
        start_time=read_instant(words.text("starts")),
        end_time=read_instant(words.text("ends")),
        catalogue=phase == "catalogue",
        live=_read_status(words),
    )
    words.drop("name", "title")
    words.close()
    return offer


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
    if status not in {"live", "active", "draft", "inactive", "paused", "ended"}:
        words.gaps.add(f"unknown word: status {status}")
    return status in {"live", "active"} and words.flag("active", default=True)


def _read_trigger(words: Words) -> str:
    kind = words.text("type") or "automatic"
    if kind not in {"automatic", "code"}:
        words.gaps.add(f"unknown word: trigger.type {kind}")
    code = words.text("code")
    words.close()
    return code


def _read_limits(words: Words) -> Limits:
    """Return the limits; what has been used of them by codes and members stands in the state."""
    uses_max = words.whole("usage_limit") or 0
    member_max = words.whole("per_member") or 0
    budget = spent = uses = 0
    counts_sets = False
    if "campaign_budget" in words:
        inner = words.open("campaign_budget")
        kind = inner.text("type")
        match kind:
            case "spend":
                budget, spent = inner.minor("limit") or 0, inner.minor("used") or 0
            case "usage":
                uses_max, uses = inner.whole("limit") or 0, inner.whole("used") or 0
                counts_sets = True
            case "usage_per_attribute" if inner.text("attribute").startswith("member."):
                member_max = inner.whole("limit") or 0
            case _:
                words.gaps.add(f"unknown word: campaign_budget.type {kind}")
        inner.drop("shared", "used")
        inner.close()
    partial = words.take("partial_allowed")
    units = words.open("campaign_units")
    units_max, units_used = units.whole("limit") or 0, units.whole("used") or 0
    units.close()
    sets_max = words.whole("max_applications") or 0  # what is no set is given once anyway
    words.close()
    return Limits(
        uses_max=uses_max,
        uses_per_member_max=member_max,
        budget_minor=budget,
        uses=uses,
        spent_minor=spent,
        sets_max=sets_max,
        counts_sets=counts_sets,
        units_max=units_max,
        units=units_used,
        partial=partial if isinstance(partial, bool) else None,
    )


def _read_stacking(words: Words) -> Stacking:
    mode = words.text("mode")
    if mode not in _MODES:
        words.gaps.add(f"unknown word: stacking.mode {mode}")
    order = words.text("order")
    if order and not {"value descending", "priority descending"} & {_last_rule(order)}:
        words.gaps.add(f"unknown word: stacking.order {order}")
    group, by_line = _read_group(words, mode, limited="group_limit" in words)
    words.drop("among", "combinable", "unit_once")
    side = words.text("side") if mode == "best_deal" else ""
    words.drop("side")
    group_max = words.whole("group_limit") or 0
    if group_max:
        group = group or "limited"
    stacking = Stacking(
        mode=mode,
        basis=_read_basis(words),
        by_value=_last_rule(order) == "value descending",
        by_priority=_last_rule(order) == "priority descending",
        sets_first=order.startswith("buy_get first"),
        group=group,
        by_line=by_line,
        group_max=group_max,
        side=_ALONE if mode == "exclusive_if_better" else side,
        kind=words.text("class"),
        combines_with=words.names("combines_with"),
        incompatible_with=words.names("incompatible_with"),
    )
    words.close()
    return stacking


def _read_group(words: Words, mode: str, *, limited: bool) -> tuple[str, bool]:
    """Return the exclusive group, and whether each line has a winner of its own."""
    lane, scope = words.text("lane"), words.text("scope")
    group, group_mode = words.text("group"), words.text("group_mode")
    if group_mode not in {"", "highestDiscount", "best"}:
        words.gaps.add(f"unknown word: stacking.group_mode {group_mode}")
    if mode == "best_of":
        group = group or lane or "best"
    elif not group_mode and not limited:
        group = ""
    by_line = bool(group) and (scope in {"line", "item"} or bool(lane))
    return group, by_line


def _last_rule(order: str) -> str:
    """Return the last two words of an order such as "first this, then reward value descending"."""
    return " ".join(order.split()[-2:])


def _read_basis(words: Words) -> engine.Basis | None:
    name = words.text("basis")
    if name in _RUNNING:
        return engine.Basis.RUNNING
    if name in _ORIGINAL:
        return engine.Basis.ORIGINAL
    if name:
        words.gaps.add(f"unknown word: stacking.basis {name}")
    return None
