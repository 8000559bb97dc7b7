"""How long the promotions engine takes for one cart: `python -m tools.bench.promotions`.

Mixed campaigns, of which a few dozen match; each evaluation matches, prices, combines and explains
the candidates. Nothing but the engine is measured: no network, no database. Time is the
processor's, because the machine may be shared.

The carts hold any articles of the chain. Two more rows are for those who think of remembering what
an article gets: carts that were never evaluated before, each once ("first sight"), and carts from
the shelf of one store, whose articles come back as people buy them ("by demand").
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.promotions import engine
from tools import compiling

_REMAINING = {f"cmp_{place:04d}": engine.Remaining(100, 1, 1_000_000, 1) for place in range(10_000)}
NOW = datetime(2026, 3, 6, 17, 30, tzinfo=UTC)
_STORES = 200
_CATEGORIES = 300
_BRANDS = 200
_SKUS = 20_000
_SHELF = 5_000
_SEGMENTS = 100
#: Of so many that could apply in the cart's shop, some thirty match a cart of 40 lines.
_HERE = 800


def make_campaigns(count: int, *, seed: int = 1, here: int | None = None) -> list[engine.Campaign]:
    """Return campaigns of every kind, the same ones for the same seed.

    Those beyond the first `here` are for other shops than the one of the carts: a chain with more
    campaigns has more local ones.
    """
    chance = random.Random(seed)  # noqa: S311 - a benchmark, not a secret
    campaigns = [_make_campaign(chance, place) for place in range(count)]
    first = count if here is None else here
    return campaigns[:first] + [_move_away(one) for one in campaigns[first:]]


def _move_away(one: engine.Campaign) -> engine.Campaign:
    audience = replace(one.rules.audience, exclude_store_ids=frozenset({"store-1"}))
    return replace(one, rules=replace(one.rules, audience=audience))


def make_cart(
    lines: int, *, seed: int = 2, shelf: Mapping[str, engine.Article] | None = None
) -> tuple[engine.Cart, engine.Facts]:
    """Return a cart of different articles and the facts that go with it.

    Articles are any of the chain's, each as likely as another; those of a `shelf` are asked for by
    Zipf's law, the first one most, and are the same ones in every cart.
    """
    chance = random.Random(seed)  # noqa: S311 - a benchmark, not a secret
    if shelf is None:
        skus = [f"sku-{number}" for number in chance.sample(range(_SKUS), lines)]
    else:
        skus = _pick_from(shelf, lines, chance)
    cart = engine.Cart(
        store_id="store-1",
        channel=engine.Channel.TILL,
        currency_code="RUB",
        lines=tuple(
            engine.CartLine(
                line_id=str(place),
                sku=sku,
                quantity_thousandths=chance.choice([1_000, 1_000, 1_000, 2_000, 3_000, 532]),
                unit_price_minor=chance.randrange(1_990, 49_990, 100),
            )
            for place, sku in enumerate(skus)
        ),
        coupon_codes=("CODE-1", "NOSUCH"),
        points_payment_minor=10_000,
    )
    facts = engine.Facts(
        store=engine.Store(region_id="region-1", format_id="format-1"),
        articles=shelf or {sku: _make_article(chance) for sku in skus},
        member=engine.Member(
            "mem_1",
            segment_ids=frozenset(f"segment-{number}" for number in range(0, _SEGMENTS, 20)),
            purchases_before=9,
            points_balance=50_000,
        ),
        remaining=_REMAINING,
        terms=engine.PointsTerms(
            point_value_minor=100, point_units=1, payment_share_max_basis_points=3_000
        ),
    )
    return cart, facts


def make_shelf(*, seed: int = 3) -> dict[str, engine.Article]:
    """Return the assortment of a store, the article first that is bought most."""
    chance = random.Random(seed)  # noqa: S311 - a benchmark, not a secret
    numbers = chance.sample(range(_SKUS), _SHELF)
    return {f"sku-{number}": _make_article(chance) for number in numbers}


def _pick_from(shelf: Mapping[str, engine.Article], lines: int, chance: random.Random) -> list[str]:
    skus, weights = list(shelf), [1 / place for place in range(1, len(shelf) + 1)]
    found: dict[str, None] = {}
    while len(found) < lines:
        found.update(dict.fromkeys(chance.choices(skus, weights, k=lines - len(found))))
    return list(found)


def _make_article(chance: random.Random) -> engine.Article:
    category = chance.randrange(_CATEGORIES)
    return engine.Article(
        category_ids=frozenset(
            {f"category-{category}", f"department-{category // 10}", f"world-{category // 100}"}
        ),
        brand=f"brand-{chance.randrange(_BRANDS)}",
        tags=frozenset({"own-label"} if chance.random() < 0.2 else ()),
        floor_price_minor=990 if chance.random() < 0.1 else 0,
        earning_excluded=chance.random() < 0.05,
        points_payment_excluded=chance.random() < 0.05,
    )


def _make_filter(chance: random.Random) -> engine.ItemFilter:
    kind = chance.random()
    if kind < 0.4:
        picked = chance.sample(range(_SKUS), 20)
        return engine.ItemFilter(skus=frozenset(f"sku-{number}" for number in picked))
    if kind < 0.6:
        picked = chance.sample(range(_CATEGORIES), 2)
        return engine.ItemFilter(category_ids=frozenset(f"category-{n}" for n in picked))
    if kind < 0.99:
        return engine.ItemFilter(brands=frozenset({f"brand-{chance.randrange(_BRANDS)}"}))
    return engine.ItemFilter()


def _make_condition(chance: random.Random, target: engine.ItemFilter) -> engine.Condition | None:
    kind = chance.random()
    if kind < 0.4:
        return None
    if kind < 0.7:
        return engine.BasketTotal(chance.choice([50_000, 200_000, 500_000, 2_000_000]))
    if kind < 0.9:
        return engine.ItemGroup(target, quantity_min_thousandths=chance.choice([1_000, 2_000]))
    return engine.AllOf((engine.BasketTotal(100_000), engine.DistinctItems(5)))


def _make_discount(chance: random.Random, target: engine.ItemFilter) -> engine.Reward:
    kinds: list[engine.RewardKind] = [
        engine.PercentOff(chance.choice([500, 1_000, 1_500])),
        engine.AmountOff(500, engine.AmountSpread.ACROSS),
        engine.AmountOff(300, engine.AmountSpread.EACH_UNIT),
        engine.FixedPrice(1_900),
        engine.PriceList(
            tuple(
                engine.ArticlePrice(f"sku-{number}", 1_900)
                for number in chance.sample(range(_SKUS), 30)
            )
        ),
    ]
    pick = engine.Pick(count_max=2) if chance.random() < 0.1 else None
    return engine.Reward(chance.choice(kinds), target, pick=pick)


def _make_given(
    chance: random.Random, lane: engine.Lane, target: engine.ItemFilter
) -> dict[str, Any]:
    """Return what a campaign of this lane gives, as fields of its rules."""
    kind = chance.random()
    if lane is engine.Lane.EARN:
        earns: list[engine.RewardKind] = [
            engine.EarnPercent(100),
            engine.EarnPoints(50, engine.PointsSpread.EACH_UNIT),
            engine.EarnPoints(100, engine.PointsSpread.EACH_STEP, step_minor=50_000),
            engine.EarnStamps("coffee", 1, engine.PointsSpread.EACH_UNIT),
            engine.MultiplyPoints(200),
        ]
        return {"rewards": (engine.Reward(chance.choice(earns), target),)}
    if lane is engine.Lane.MULTI_BUY:
        groups = (engine.UnitGroup(target, chance.choice([1, 2])), engine.UnitGroup(target, 1))
        off = engine.Reward(engine.PercentOff(5_000), groups=(1,))
        return {"rewards": (off,), "multi_buy": engine.MultiBuy(groups)}
    if kind < 0.06:
        gift = engine.GiftItems((engine.GiftItem("cup", 1, 900),))
        return {"rewards": (engine.Reward(gift, target),)}
    if kind < 0.12:
        steps = (
            engine.Step(20_000, (_make_discount(chance, target),)),
            engine.Step(50_000, (engine.Reward(engine.PercentOff(1_500), target),)),
        )
        return {
            "rewards": (),
            "scale": engine.Scale(engine.ScaleMeasure.AMOUNT, steps, target),
        }
    return {"rewards": (_make_discount(chance, target),)}


def _make_audience(chance: random.Random) -> engine.Audience:
    kind = chance.random()
    if kind < 0.5:
        stores = chance.sample(range(_STORES), 40)
        return engine.Audience(store_ids=frozenset(f"store-{number}" for number in stores))
    if kind < 0.75:
        segments = chance.sample(range(_SEGMENTS), 5)
        return engine.Audience(segment_ids=frozenset(f"segment-{number}" for number in segments))
    if kind < 0.8:
        return engine.Audience(region_ids=frozenset({f"region-{chance.randrange(5)}"}))
    return engine.Audience()


def _make_campaign(chance: random.Random, place: int) -> engine.Campaign:
    coded = chance.random() < 0.1
    lane = engine.Lane.COUPON if coded else chance.choice(_LANES)
    target = _make_filter(chance)
    if lane is engine.Lane.RECEIPT:
        target = engine.ItemFilter()
    whole_day = chance.random() < 0.8
    return engine.Campaign(
        campaign_id=f"cmp_{place:04d}",
        version=1,
        rules=engine.Rules(
            title=engine.Text(f"Campaign {place}", f"Акция {place}"),
            trigger=engine.CouponTrigger((f"CODE-{place}",)) if coded else _AUTOMATIC,
            validity=engine.Validity(
                start_time=NOW - timedelta(days=chance.randrange(1, 90)),
                end_time=NOW + timedelta(days=chance.randrange(1, 90)),
                weekdays=frozenset() if chance.random() < 0.7 else frozenset({1, 3, 5}),
                hours=() if whole_day else (engine.HourWindow(1_020, 1_155),),
            ),
            audience=_make_audience(chance),
            condition=_make_condition(chance, target),
            **_make_given(chance, lane, target),
            combination=engine.Combination(
                lane=lane,
                priority=chance.randrange(100),
                exclusive_group=chance.choice(["", "", "", "best"]),
            ),
            limits=engine.Limits(uses_max=1_000 if chance.random() < 0.1 else 0),
        ),
    )


_AUTOMATIC = engine.AutomaticTrigger()
_LANES = [
    *[engine.Lane.ITEM] * 40,
    *[engine.Lane.MULTI_BUY] * 5,
    engine.Lane.RECEIPT,
    *[engine.Lane.EARN] * 3,
]


def measure(
    work: Callable[[engine.Cart, engine.Facts], object],
    carts: Sequence[tuple[engine.Cart, engine.Facts]],
    *,
    laps: int,
) -> tuple[float, float]:
    """Return the median and the 99th percentile over these carts, in milliseconds of the processor.

    A cart counts with the best of its laps: whoever else uses the machine makes it slower, never
    faster. The laps of a cart lie far apart, so that no cart meets one busy moment alone.
    """
    best = [float("inf")] * len(carts)
    for _ in range(laps + 1):
        for place, (cart, facts) in enumerate(carts):
            start = time.thread_time_ns()
            work(cart, facts)
            best[place] = min(best[place], (time.thread_time_ns() - start) / 1e6)
    best.sort()
    return statistics.median(best), best[len(best) * 99 // 100]


def main() -> None:
    """Measure compiling and evaluating, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", type=int, default=1_000)
    parser.add_argument(
        "--here",
        type=int,
        default=_HERE,
        help="how many of the campaigns may be for the cart's shop; the others are for others",
    )
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--carts", type=int, default=200)
    parser.add_argument("--laps", type=int, default=15)
    options = parser.parse_args()
    compiling.require_fresh()
    campaigns = make_campaigns(options.campaigns, here=options.here)
    start = time.thread_time()
    ruleset = engine.compile(campaigns, version=1)
    print(f"compile       {(time.thread_time() - start) * 1e3:8.1f} ms")
    carts = [make_cart(options.lines, seed=seed) for seed in range(options.carts)]
    form = "compiled" if engine.IS_COMPILED else "interpreted"
    print(f"{options.campaigns} campaigns, {options.lines} lines, engine {form}")
    print(_describe(ruleset, carts))
    for name, work in (
        ("find needs", lambda cart, facts: engine.find_needs(ruleset, cart, facts, now=NOW)),
        ("evaluate", lambda cart, facts: engine.evaluate(ruleset, cart, facts, now=NOW)),
        ("both", lambda cart, facts: _decide(ruleset, cart, facts)),
        (
            "explain all",
            lambda cart, facts: engine.evaluate(
                ruleset, cart, facts, now=NOW, explain=engine.Explain.FULL
            ),
        ),
    ):
        _tell(name, measure(work, carts, laps=options.laps))
    shelf = make_shelf()
    for name, laps, again in (
        ("first sight", 0, [make_cart(options.lines, seed=-1 - n) for n in range(options.carts)]),
        (
            "by demand",
            options.laps,
            [make_cart(options.lines, seed=n, shelf=shelf) for n in range(options.carts)],
        ),
    ):
        found = measure(lambda cart, facts: _decide(ruleset, cart, facts), again, laps=laps)
        _tell(f"both, {name}", found)


def _tell(name: str, found: tuple[float, float]) -> None:
    print(f"{name:<18} median {found[0]:6.3f} ms   p99 {found[1]:6.3f} ms")


def _decide(ruleset: engine.Ruleset, cart: engine.Cart, facts: engine.Facts) -> engine.Decision:
    """Do what the checkout does: find the needs, and go on from there."""
    meeting = engine.find_needs(ruleset, cart, facts, now=NOW).meeting
    return engine.evaluate(ruleset, cart, facts, now=NOW, meeting=meeting)


def _describe(ruleset: engine.Ruleset, carts: Sequence[tuple[engine.Cart, engine.Facts]]) -> str:
    """Say how much an average cart has to do with the campaigns."""
    answers = matches = applied = parts = 0
    for cart, facts in carts:
        decision = engine.evaluate(ruleset, cart, facts, now=NOW)
        reasons = [one.reason for one in decision.outcomes]
        answers += len(reasons)
        matches += len(reasons) - reasons.count(engine.OutcomeReason.CONDITION_NOT_MET)
        applied += reasons.count(engine.OutcomeReason.APPLIED)
        parts += sum(len(line.parts) for line in decision.lines)
    return (
        f"on average {answers / len(carts):.0f} answer, {matches / len(carts):.0f} match,"
        f" {applied / len(carts):.0f} are applied in {parts / len(carts):.0f} parts of lines"
    )


if __name__ == "__main__":
    main()
