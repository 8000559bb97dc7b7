"""A cart in the form that campaigns look at: equal goods in piles, ready to be searched.

Lines of the same article at the same price make one pile, and piles stand in the order of article
and price, so neither the order of scanning nor one line instead of two changes what a cart gets.
Sets of piles are bits of a whole number: bit 0 is the first pile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from services.promotions.engine import amounts
from services.promotions.engine.carts import UNKNOWN_ARTICLE, Article, Cart, CartLine, Facts
from services.promotions.engine.rules import LineKind

SKU: Final = 0
CATEGORY: Final = 1
BRAND: Final = 2
TAG: Final = 3
_Key: TypeAlias = tuple[str, int, int, LineKind]


@dataclass(frozen=True, slots=True)
class Basket:
    """Piles and what to find them by.

    `masks` holds, for article numbers, categories, brands and tags, which piles each name is on.
    Piles that cost nothing are in no mask: no campaign counts or touches them. `priced` are the
    goods; `fees` the piles of delivery and other fees. `reduced` are the piles that are below
    their regular price. `floors` are the lowest amounts after all discounts. `lone_lines` are the
    lines of the piles, when each pile has just one. `weighed` are the piles sold by weight.
    Lists are shared by all who look, and never changed.
    """

    skus: tuple[str, ...]
    prices: tuple[int, ...]
    quantities: list[int]
    amounts: list[int]
    floors: list[int]
    line_places: tuple[tuple[int, ...], ...]
    lone_lines: tuple[int, ...]
    line_amounts: tuple[int, ...]
    line_floors: tuple[int, ...]
    masks: tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int], Mapping[str, int]]
    priced: int
    earning: int
    payable: int
    subtotal: int
    priced_places: list[int]
    weighed: int
    fees: Mapping[LineKind, int]
    reduced: int

    def count_units(self, pile: int) -> int:
        """Return the whole units of a pile; goods sold by weight have none."""
        return 0 if self.weighed >> pile & 1 else self.quantities[pile] // amounts.THOUSANDTHS

    def places(self, mask: int) -> list[int]:
        """Return the piles of a set, ascending; most sets are all the goods."""
        return self.priced_places if mask == self.priced else places(mask)


def places(mask: int) -> list[int]:
    """Return the numbers of the bits that are set, ascending."""
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return found


def arrange(cart: Cart, facts: Facts) -> Basket:
    """Return the cart's goods in piles."""
    lines = cart.lines
    piles: dict[_Key, list[int]] = {}
    for place, line in enumerate(lines):
        key = (line.sku, line.unit_price_minor, line.regular_unit_price_minor, line.kind)
        piles.setdefault(key, []).append(place)
    keys = sorted(piles)
    known = facts.articles
    articles = [known.get(key[0], UNKNOWN_ARTICLE) for key in keys]
    line_places = tuple([tuple(piles[key]) for key in keys])
    lone_lines = tuple([m[0] for m in line_places]) if len(keys) == len(lines) else ()
    line_amounts = [_amount(line) for line in lines]
    line_floors = [0] * len(lines)
    for article, members in zip(articles, line_places):
        if article.floor_price_minor:
            for place in members:
                line_floors[place] = _floor(article, lines[place], line_amounts[place])

    def sum_up(by_line: list[int]) -> list[int]:
        if lone_lines:
            return [by_line[place] for place in lone_lines]
        return [sum([by_line[place] for place in members]) for members in line_places]

    sums = sum_up(line_amounts)
    masks, priced, earning, payable = _search(keys, articles, sums)
    fees, reduced = _mark(keys, priced)
    if fees:
        goods = ~sum(fees.values())
        priced, earning, payable = priced & goods, earning & goods, payable & goods
    weighed = sum([1 << place for place, article in enumerate(articles) if article.weighed])
    return Basket(
        skus=tuple([key[0] for key in keys]),
        prices=tuple([key[1] for key in keys]),
        quantities=sum_up([line.quantity_thousandths for line in lines]),
        amounts=sums,
        floors=sum_up(line_floors),
        line_places=line_places,
        lone_lines=lone_lines,
        line_amounts=tuple(line_amounts),
        line_floors=tuple(line_floors),
        masks=masks,
        priced=priced,
        earning=earning,
        payable=payable,
        subtotal=sum(sums),
        priced_places=places(priced),
        weighed=weighed,
        fees=fees,
        reduced=reduced,
    )


def _mark(keys: Sequence[_Key], priced: int) -> tuple[dict[LineKind, int], int]:
    """Return the piles of each kind of fee, and those below their regular price."""
    fees: dict[LineKind, int] = {}
    reduced = 0
    goods = LineKind.GOODS
    for place, (_, unit_price, regular, kind) in enumerate(keys):
        if regular > unit_price:
            reduced |= priced & 1 << place
        if kind is not goods:
            fees[kind] = fees.get(kind, 0) | priced & 1 << place
    return fees, reduced


def _amount(line: CartLine) -> int:
    return (line.quantity_thousandths * line.unit_price_minor + 500) // 1_000


def _floor(article: Article, line: CartLine, amount: int) -> int:
    floor = amounts.price_up(
        quantity_thousandths=line.quantity_thousandths, unit_price_minor=article.floor_price_minor
    )
    return min(amount, floor)


def _search(
    keys: list[_Key], articles: list[Article], sums: list[int]
) -> tuple[tuple[dict[str, int], dict[str, int], dict[str, int], dict[str, int]], int, int, int]:
    skus: dict[str, int] = {}
    categories: dict[str, int] = {}
    brands: dict[str, int] = {}
    tags: dict[str, int] = {}
    priced = earning = payable = 0
    bit = 1
    for key, article, amount in zip(keys, articles, sums):
        if amount:
            sku, brand = key[0], article.brand
            priced |= bit
            if not article.earning_excluded:
                earning |= bit
            if not article.points_payment_excluded:
                payable |= bit
            skus[sku] = skus.get(sku, 0) | bit
            if brand:
                brands[brand] = brands.get(brand, 0) | bit
            for name in article.category_ids:
                categories[name] = categories.get(name, 0) | bit
            for name in article.tags:
                tags[name] = tags.get(name, 0) | bit
        bit <<= 1
    return (skus, categories, brands, tags), priced, earning, payable
