"""Sales from files that a retailer exported: one row for each line of a receipt."""

import zoneinfo
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from services.promotions import engine
from tools.simulation.lines import LINES, PRODUCTS, RECEIPTS, STORES, Tables
from tools.simulation.purchases import Schema

_READERS: Mapping[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": lambda path: pl.read_csv(path, infer_schema=False),
    ".parquet": pl.read_parquet,
    ".ndjson": pl.read_ndjson,
    ".jsonl": pl.read_ndjson,
}
_SALES: Schema = {
    "receipt_id": pl.String,
    "occurred_time": pl.Datetime("us", "UTC"),
    "store_id": pl.String,
    "sku": pl.String,
    "quantity_thousandths": pl.Int64,
    "unit_price_minor": pl.Int64,
}
_LISTS = ("coupon_codes", "segment_ids", "category_ids", "tags")
_OPTIONAL = {
    "member_id": "",
    "channel": engine.Channel.TILL.name,
    "coupon_codes": "",
    "segment_ids": "",
}
_PRODUCT_DEFAULTS = {
    "category_ids": "",
    "brand": "",
    "tags": "",
    "floor_price_minor": "0",
    "weighed": "false",
    "earning_excluded": "false",
    "points_payment_excluded": "false",
}


class Unusable(ValueError):  # noqa: N818  a refusal, with a sentence for the person who asked
    """A file cannot be replayed; the message says which, where and what to do."""


def read(
    sales: Path,
    *,
    products: Path | None,
    stores: Path | None,
    time_zone: str,
    currency_code: str,
) -> Tables:
    """Return what files tell, CSV, Parquet or NDJSON by their names; raises Unusable.

    Sales have the columns receipt_id, occurred_time (with its offset from UTC), store_id, sku,
    quantity_thousandths and unit_price_minor, and may have member_id, channel, coupon_codes and
    segment_ids. Products have a sku and any of the properties of PRODUCTS, stores a store_id and
    any of STORES. Lists are divided by spaces. Stores that no file names are in `time_zone`.
    """
    rows = _typed(sales, _with_defaults(_load(sales), _OPTIONAL), _SALES)
    _refuse_amounts(sales, rows)
    heads = _heads(sales, rows)
    return Tables(
        receipts=heads,
        lines=_lines(rows, heads),
        products=_products(products),
        stores=_stores(stores, heads, time_zone),
        currency_code=currency_code,
    )


def _load(path: Path) -> pl.DataFrame:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise Unusable(f"{path}: name it by its form: {', '.join(_READERS)}.")
    try:
        return reader(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise Unusable(f"{path} cannot be read: {error}") from None


def _with_defaults(frame: pl.DataFrame, defaults: Mapping[str, str]) -> pl.DataFrame:
    missing = [pl.lit(value).alias(name) for name, value in defaults.items() if name not in frame]
    return frame.with_columns(missing)


def _typed(path: Path, frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return the frame with columns of these types; raises Unusable with the first row at fault."""
    absent = [name for name in schema if name not in frame.columns]
    if absent:
        raise Unusable(f"{path} has no column {', '.join(absent)}.")
    for name, kind in schema.items():
        frame = frame.with_columns(_cast(frame, name, kind))
        wrong = frame[name].is_null().arg_true()
        if len(wrong):
            raise Unusable(
                f"{path}, row {wrong[0] + 1}: {name} is missing or cannot be understood."
            )
    listed = [_split(frame, name) for name in _LISTS if name in frame.columns]
    return frame.with_columns(listed)


def _cast(frame: pl.DataFrame, name: str, kind: pl.DataType | type[pl.DataType]) -> pl.Expr:
    column = pl.col(name)
    is_text = frame.schema[name] == pl.String
    if isinstance(kind, pl.Datetime) and is_text:
        return column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    if kind == pl.Boolean and is_text:
        words = {"true": True, "false": False, "1": True, "0": False}
        return column.str.to_lowercase().replace_strict(words, default=None)
    return column.cast(kind, strict=False)


def _split(frame: pl.DataFrame, name: str) -> pl.Expr:
    column = pl.col(name)
    if frame.schema[name] != pl.String:
        return column.fill_null([])
    words = column.fill_null("").str.split(" ")
    return words.list.filter(pl.element() != "")


def _refuse_amounts(path: Path, rows: pl.DataFrame) -> None:
    wrong = (
        (rows["quantity_thousandths"] <= 0)
        | (rows["unit_price_minor"] < 0)
        | ~rows["channel"].is_in([one.name for one in engine.Channel])
    ).arg_true()
    if len(wrong):
        raise Unusable(
            f"{path}, row {wrong[0] + 1}: quantities must be above 0, prices not below 0,"
            f" and channel one of {', '.join(one.name for one in engine.Channel)}."
        )


def _heads(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    heads = (
        rows.group_by("receipt_id", maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in RECEIPTS if name not in {"number", "receipt_id"}),
            differing=pl.struct("occurred_time", "store_id", "member_id").n_unique() > 1,
        )
        .sort("occurred_time", "receipt_id")
    )
    split = heads.filter("differing")
    if split.height:
        raise Unusable(
            f"{path}: the lines of receipt {split['receipt_id'][0]} name different times, stores"
            " or members; receipt ids must be unique in the file."
        )
    numbered = heads.drop("differing").with_row_index("number")
    return numbered.with_columns(
        pl.col("number").cast(pl.Int64), pl.col("member_id").fill_null("")
    ).select(*RECEIPTS)


def _lines(rows: pl.DataFrame, heads: pl.DataFrame) -> pl.DataFrame:
    numbers = heads.select("receipt_id", "number")
    counted = pl.int_range(1, pl.len() + 1).over("receipt_id").cast(pl.String)
    return (
        rows.with_columns(line_id=counted)
        .join(numbers, on="receipt_id", maintain_order="left")
        .select(*LINES)
    )


def _products(path: Path | None) -> pl.DataFrame:
    if path is None:
        return pl.DataFrame(schema=PRODUCTS)
    frame = _with_defaults(_load(path), _PRODUCT_DEFAULTS)
    plain = {name: kind for name, kind in PRODUCTS.items() if name not in _LISTS}
    return _typed(path, frame, plain).select(*PRODUCTS).unique("sku", keep="last")


def _stores(path: Path | None, heads: pl.DataFrame, time_zone: str) -> pl.DataFrame:
    defaults = {"region_id": "", "format_id": "", "time_zone": time_zone}
    named = pl.DataFrame(schema={"store_id": pl.String})
    if path is not None:
        named = _typed(path, _load(path), {"store_id": pl.String})
    unnamed = heads.select(pl.col("store_id").unique()).join(named, on="store_id", how="anti")
    both = pl.concat(
        [_with_defaults(named, defaults), _with_defaults(unnamed, defaults)], how="diagonal"
    )
    read = _typed(path or Path("stores"), both, STORES).select(*STORES)
    unknown = sorted(set(read["time_zone"]) - zoneinfo.available_timezones())
    if unknown:
        raise Unusable(f"{', '.join(unknown)}: no time zone is called that.")
    return read
