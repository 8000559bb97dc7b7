"""The goods of a case: lines for the cart, articles for the facts, and filters that mean them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.promotions import engine
from tools.conformance.promotions.words import Plain, Unsupported, Words, read_minor, read_names

FEE_CATEGORIES = frozenset({"delivery", "fee", "fees", "shipping"})
FEE_LINE = "~fees"
_FEE_WORDS = ("fees", "fee", "delivery", "delivery_fee", "shipping", "shipping_fee")
AT_FULL_PRICE = ("not_discounted", "not_reduced", "exclude_discounted")
_UNDISCOUNTABLE = "~undiscountable"
_COLLECTION = "~collection:"
_NOTHING = "~none"
_EVERYTHING = engine.ItemFilter()
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Goods:
    """Lines and articles, and the articles of each name of a product.

    An article that is there in several forms is a product, too.
    Fees (delivery and the like) are lines of categories of their own: goods are all other lines.
    """

    lines: tuple[engine.CartLine, ...]
    articles: dict[str, engine.Article]
    products: dict[str, frozenset[str]]

    @property
    def fees(self) -> frozenset[str]:
        """Return the categories of fees that the cart has."""
        present: frozenset[str] = frozenset()
        for article in self.articles.values():
            present |= article.category_ids & FEE_CATEGORIES
        return present

    @property
    def counted_lines(self) -> list[engine.CartLine]:
        """Return the lines that are goods and cost something."""
        return [
            line
            for line in self.lines
            if line.unit_price_minor and not self.articles[line.sku].category_ids & FEE_CATEGORIES
        ]

    def has(self, marker: str) -> bool:
        """Tell whether an article has this tag."""
        return any(marker in article.tags for article in self.articles.values())

    def exclude_from_payment(self, excluded: engine.ItemFilter) -> "Goods":
        """Return the goods of which these cannot be paid with points."""
        articles = {
            sku: replace(article, points_payment_excluded=True)
            if means(excluded, sku, article)
            else article
            for sku, article in self.articles.items()
        }
        return replace(self, articles=articles)


def read_goods(cart: Words) -> Goods:
    """Return the goods of a cart; its fees without a line become a line of their own."""
    lines: list[engine.CartLine] = []
    articles: dict[str, engine.Article] = {}
    products: dict[str, frozenset[str]] = {}
    for words in cart.open_all("lines", "items"):
        line, article, named = _read_line(words)
        if any(line.line_id == other.line_id for other in lines):
            raise Unsupported("two lines of one name in a cart")
        sku = _find_name(line.sku, article, articles)
        for name in named | ({line.sku} if sku != line.sku else frozenset()):
            products[name] = products.get(name, frozenset({name} & {*articles})) | {sku}
        articles[sku] = article
        if line.quantity_thousandths:
            lines.append(line._replace(sku=sku))
    if fees := sum(_read_fees(cart.take(name), f"cart.{name}") for name in _FEE_WORDS):
        lines.append(engine.CartLine(FEE_LINE, FEE_LINE, 1_000, fees))
        articles[FEE_LINE] = engine.Article(category_ids=frozenset({"fees"}))
    return Goods(tuple(lines), articles, products)


def _read_fees(found: object, where: str) -> int:
    """Return what fees come to: one amount, or several by their names or in a list."""
    if isinstance(found, Mapping):
        named = "amount" if "amount" in found else "value" if "value" in found else ""
        parts = [found[named]] if named else list(found.values())
        return sum(_read_fees(one, where) for one in parts)
    if isinstance(found, list):
        return sum(_read_fees(one, where) for one in found)
    return 0 if found is None else read_minor(found, where)


def _find_name(sku: str, article: engine.Article, known: Mapping[str, engine.Article]) -> str:
    """Return a name for an article that the cart has in another form already."""
    name, copies = sku, 1
    while known.get(name, article) != article:
        copies += 1
        name = f"{sku}~{copies}"
    return name


def _read_line(words: Words) -> tuple[engine.CartLine, engine.Article, frozenset[str]]:
    """Return a line, its article and the names of products that it goes by."""
    line_id = words.text("line", "id", "line_id")
    sku = words.text("sku") or line_id
    quantity = words.thousandths("qty", "quantity")
    price = words.minor("unit_price", "price")
    if not line_id or quantity is None or price is None:
        raise Unsupported("a line without its name, quantity or price")
    if quantity < 0 or price < 0:
        raise Unsupported("a line of less than nothing, or at a negative price")
    product = words.text("product")
    categories = words.names("category", "categories")
    named = frozenset({product}) if product else categories | {sku}
    collections = frozenset(f"{_COLLECTION}{name}" for name in words.names("collections"))
    article = engine.Article(
        category_ids=categories | collections,
        brand=words.text("brand"),
        tags=words.names("tags") | _read_markers(words),
        floor_price_minor=words.minor("min_unit_price", "min_price", "floor_price") or 0,
        weighed=words.flag("weighed"),
    )
    regular = words.minor("regular_price", "regular_unit_price", "original_price") or 0
    words.drop("name", "title")
    article = replace(article, tags=article.tags | _read_properties(words))
    words.close()
    line = engine.CartLine(line_id, sku, quantity, price, regular_unit_price_minor=regular)
    return line, article, named


def _read_markers(words: Words) -> frozenset[str]:
    discountable = words.flag("discountable", default=True)
    return _NONE if discountable else frozenset({_UNDISCOUNTABLE})


def _read_properties(words: Words) -> frozenset[str]:
    """Return whatever else a line says in plain words, such as a supplier, as tags."""
    found = set()
    for name in words.left:
        said = words.peek(name)
        if isinstance(said, str):
            words.drop(name)
            found.add(f"~{name}:{said}")
    return frozenset(found)


def read_filter(words: Words, goods: Goods, *, fees: bool = False) -> engine.ItemFilter:
    """Return a filter; it means no fees unless it names them, or `fees` says so."""
    included = _read_sets(words, goods, "_in")
    excluded = [_read_sets(words, goods, "_not_in")]
    with words.gaps.collect():
        excluded.append(read_excluded(words.open("exclude"), goods))
    for name, of in (("tag_all", "tags"), ("category_all", "category_ids")):
        if wanted := words.names(name, f"{name}_of"):
            having = frozenset(
                sku for sku, one in goods.articles.items() if wanted <= getattr(one, of)
            )
            included = replace(
                included,
                skus=(having & included.skus if included.skus else having) or frozenset({_NOTHING}),
            )
    price_min, price_max = _read_prices(words)
    state = engine.PriceState.ANY
    if words.flag(*AT_FULL_PRICE):
        state = engine.PriceState.FULL
    elif words.flag("discounted", "reduced", "only_discounted"):
        state = engine.PriceState.REDUCED
    words.close()
    if not fees and included == _EVERYTHING:
        excluded.append(engine.ItemFilter(category_ids=goods.fees))
    return replace(
        included,
        exclude_skus=_NONE.union(*(one.skus for one in excluded)),
        exclude_category_ids=_NONE.union(*(one.category_ids for one in excluded)),
        exclude_brands=_NONE.union(*(one.brands for one in excluded)),
        exclude_tags=_NONE.union(*(one.tags for one in excluded)),
        unit_price_min_minor=price_min,
        unit_price_max_minor=price_max,
        price_state=state,
    )


def discountable(meant: engine.ItemFilter, goods: Goods) -> engine.ItemFilter:
    """Return the filter without goods that no campaign may touch."""
    if not goods.has(_UNDISCOUNTABLE):
        return meant
    return replace(meant, exclude_tags=meant.exclude_tags | {_UNDISCOUNTABLE})


def everything(goods: Goods) -> engine.ItemFilter:
    """Return the filter that means all goods."""
    return engine.ItemFilter(exclude_category_ids=goods.fees)


def reduced() -> engine.ItemFilter:
    """Return the filter that means goods which the catalogue or a campaign has reduced."""
    return engine.ItemFilter(price_state=engine.PriceState.REDUCED)


def _read_sets(words: Words, goods: Goods, ending: str) -> engine.ItemFilter:
    """Return the names of a filter whose words have this ending.

    Products and collections are no names of ours: products are resolved into their articles, and
    a collection is a category.
    """
    skus = words.names(f"sku{ending}", f"article{ending}")
    skus = skus.union(*[goods.products[name] for name in skus if name in goods.products])
    products = words.names(f"product{ending}")
    if products:
        resolved = _NONE.union(*[goods.products.get(name, frozenset({name})) for name in products])
        if ending == "_in" and skus:
            resolved = resolved & skus or frozenset({_NOTHING})
        skus = resolved if ending == "_in" else resolved | skus
    categories = words.names(f"category{ending}")
    collections = frozenset(f"{_COLLECTION}{name}" for name in words.names(f"collection{ending}"))
    if categories and collections and ending == "_in":
        skus = _find_in_both(goods, skus, categories, collections)
        categories = collections = _NONE
    return engine.ItemFilter(
        skus=skus,
        category_ids=categories | collections,
        brands=words.names(f"brand{ending}"),
        tags=words.names(f"tag{ending}") | _read_other_sets(words, goods, ending),
    )


def _read_other_sets(words: Words, goods: Goods, ending: str) -> frozenset[str]:
    """Return the tags behind words such as `supplier_in`, of what lines of the cart say."""
    known = {
        tag.split(":")[0][1:]
        for one in goods.articles.values()
        for tag in one.tags
        if tag.startswith("~") and ":" in tag
    }
    found: set[str] = set()
    for name in sorted(known):
        found |= {f"~{name}:{value}" for value in words.names(f"{name}{ending}")}
    return frozenset(found)


def _find_in_both(
    goods: Goods, skus: frozenset[str], categories: frozenset[str], collections: frozenset[str]
) -> frozenset[str]:
    """Return the articles of a category and of a collection: we have one word for the two."""
    found = frozenset(
        sku
        for sku, article in goods.articles.items()
        if article.category_ids & categories and article.category_ids & collections
    )
    return (found & skus if skus else found) or frozenset({_NOTHING})


def _read_prices(words: Words) -> tuple[int, int]:
    between = words.take("unit_price_between")
    if between is not None:
        if not isinstance(between, list) or len(between) != 2:
            raise Unsupported(f"{words.where}.unit_price_between that is no pair")
        plain: Plain = {"unit_price_gte": between[0], "unit_price_lte": between[1]}
        return _read_prices(Words(plain, words.where, words.gaps))
    lowest, above = words.minor("unit_price_gte", "price_gte"), words.minor("unit_price_gt")
    highest, below = words.minor("unit_price_lte", "price_lte"), words.minor("unit_price_lt")
    if above is not None:
        lowest = above + 1
    if below is not None:
        highest = below - 1
    return lowest or 0, highest or 0


def means(meant: engine.ItemFilter, sku: str, article: engine.Article) -> bool:
    """Tell whether a filter of names means an article: just enough for cases."""
    return bool(
        sku in meant.skus
        or article.category_ids & meant.category_ids
        or article.brand in meant.brands
        or article.tags & meant.tags
    )


def read_excluded(words: Words, goods: Goods) -> engine.ItemFilter:
    """Return the goods of a list of exclusions: those in any of its sets."""
    excluded = _read_sets(words, goods, "_in")
    words.close()
    return excluded


def read_values(words: Words) -> frozenset[str]:
    """Return the names of a condition, written as `values` or `value`."""
    found = words.take("values", "value", default=[])
    if isinstance(found, int | float):
        found = str(found).lower()
    return frozenset(read_names(found, f"{words.where}.values"))
