"""A small chain's sales, and campaigns to try on them."""

from datetime import UTC, datetime, timedelta

import polars as pl

from services.promotions import engine, text
from services.promotions.wire import rules
from tools.simulation.lines import LINES, PRODUCTS, RECEIPTS, STORES, Tables

MONDAY = datetime(2026, 3, 2, 10, tzinfo=UTC)


def campaigns(written: str) -> list[engine.Campaign]:
    document = text.read("currency: USD\ncampaigns:\n" + written)
    assert not document.problems
    return [rules.parse_campaign(key, 1, one) for key, one in document.campaigns.items()]


def percent(key: str, share: int, *, limits: str = "{}") -> str:
    return f"""
  {key}:
    title: {{en: "{key}"}}
    trigger: automatic
    rewards: [{{percent_off: {share}%}}]
    combination: item
    limits: {limits}
"""


def tables(*receipts: tuple[str, int], segments: dict[str, list[str]] | None = None) -> Tables:
    """Return sales of one article: (member, price in cents) for each receipt, an hour apart."""
    heads = [
        {
            "number": number,
            "receipt_id": f"r{number}",
            "occurred_time": MONDAY + timedelta(hours=number),
            "store_id": "s1",
            "member_id": member,
            "channel": "TILL",
            "coupon_codes": [],
            "segment_ids": (segments or {}).get(member, []),
        }
        for number, (member, _) in enumerate(receipts)
    ]
    lines = [
        {
            "number": number,
            "line_id": "1",
            "sku": "milk",
            "quantity_thousandths": 1000,
            "unit_price_minor": price,
        }
        for number, (_, price) in enumerate(receipts)
    ]
    store = {"store_id": "s1", "region_id": "", "format_id": "", "time_zone": "Europe/Moscow"}
    return Tables(
        receipts=pl.DataFrame(heads, schema=RECEIPTS),
        lines=pl.DataFrame(lines, schema=LINES),
        products=pl.DataFrame(schema=PRODUCTS),
        stores=pl.DataFrame([store], schema=STORES),
        currency_code="USD",
    )
