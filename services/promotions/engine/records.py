"""Facts as plain values, so that they can be kept with a receipt and decide the same again."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from services.promotions.engine.carts import (
    Article,
    Bearer,
    Facts,
    Member,
    PointsTerms,
    ReceiptCap,
    Remaining,
    Store,
)
from services.promotions.engine.rules import EVERYTHING, ItemFilter

#: What facts of a member are sets of names; receipts older than one of them have none.


def dump_facts(facts: Facts) -> dict[str, Any]:
    """Return the facts as dicts, lists, texts and whole numbers only; equal facts dump equally."""
    return {
        "store": _dump(facts.store),
        "articles": {
            sku: _dump_article(article) for sku, article in sorted(facts.articles.items())
        },
        "member": None if facts.member is None else _dump_member(facts.member),
        "remaining": {name: _dump(one) for name, one in sorted(facts.remaining.items())},
        "terms": _dump_terms(facts.terms),
        "cap": _dump(facts.cap),
        "identity_answered": facts.identity_answered,
        "bearers": {name: _dump_bearer(one) for name, one in sorted(facts.bearers.items())},
        "hands_out": facts.hands_out,
        "codes_answered": facts.codes_answered,
    }


def load_facts(plain: Mapping[str, Any]) -> Facts:
    """Return the facts that `dump_facts` made this of."""
    member = plain["member"]
    return Facts(
        store=Store(**plain["store"]),
        articles={sku: _load_article(article) for sku, article in plain["articles"].items()},
        member=None if member is None else _load_member(member),
        remaining={name: Remaining(**one) for name, one in plain["remaining"].items()},
        terms=_load_terms(plain["terms"]),
        cap=ReceiptCap(**plain.get("cap", {})),
        identity_answered=plain["identity_answered"],
        bearers={
            name: Bearer(one["coupon_id"], tuple(one["codes"]))
            for name, one in plain.get("bearers", {}).items()
        },
        hands_out=plain.get("hands_out", True),
        codes_answered=plain.get("codes_answered", True),
    )


def _dump_bearer(bearer: Bearer) -> dict[str, Any]:
    return {"coupon_id": bearer.coupon_id, "codes": list(bearer.codes)}


def _dump(one: Any) -> dict[str, Any]:
    """Return a dataclass of plain values as a dict; a tenth of the price of `asdict`."""
    return {name: getattr(one, name) for name in one.__match_args__}


def _dump_article(article: Article) -> dict[str, Any]:
    plain = _dump(article)
    plain["category_ids"] = sorted(article.category_ids)
    plain["tags"] = sorted(article.tags)
    return plain


def _load_article(plain: Mapping[str, Any]) -> Article:
    return Article(
        **{
            **plain,
            "category_ids": frozenset(plain["category_ids"]),
            "tags": frozenset(plain["tags"]),
        }
    )


def _dump_terms(terms: PointsTerms) -> dict[str, Any]:
    plain = _dump(terms)
    goods = _dump(terms.payment_goods) if terms.payment_goods != EVERYTHING else {}
    plain["payment_goods"] = {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in goods.items()
        if value
    }
    return plain


def _load_terms(plain: Mapping[str, Any]) -> PointsTerms:
    goods: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value
        for name, value in plain.get("payment_goods", {}).items()
    }
    return PointsTerms(**{**plain, "payment_goods": ItemFilter(**goods)})


def _dump_member(member: Member) -> dict[str, Any]:
    plain = _dump(member)
    last = member.last_purchase_time
    plain["segment_ids"] = sorted(member.segment_ids)
    plain["tier_ids"] = sorted(member.tier_ids)
    plain["plan_ids"] = sorted(member.plan_ids)
    plain["attributes"] = dict(sorted(member.attributes.items()))
    plain["dates"] = {name: day.isoformat() for name, day in sorted(member.dates.items())}
    plain["last_purchase_time"] = None if last is None else last.isoformat()
    return plain


def _load_member(plain: Mapping[str, Any]) -> Member:
    """Return a member; what receipts of earlier days do not hold keeps its default."""
    last = plain.get("last_purchase_time")
    dates = plain.get("dates", {})
    return Member(
        **{
            **plain,
            "segment_ids": frozenset(plain["segment_ids"]),
            "tier_ids": frozenset(plain.get("tier_ids", ())),
            "plan_ids": frozenset(plain.get("plan_ids", ())),
            "dates": {name: date.fromisoformat(day) for name, day in dates.items()},
            "last_purchase_time": None if last is None else datetime.fromisoformat(last),
        }
    )
