"""What the chain sells and where: category tree, products and stores."""

from dataclasses import dataclass

import polars as pl

from tools.demo import dataset

# Goods that laws or common sense keep out of loyalty programs.
FUEL_TYPE = "GASOLINE-REG UNLEADED"
TOBACCO = ("CIGARETTES", "CIGARS", "TOBACCO OTHER")
ALCOHOL = ("BEERS/ALES", "DOMESTIC WINE", "IMPORTED WINE", "MISC WINE", "LIQUOR")
NOT_GOODS = ("COUPON", "POSTAL CENTER", "CHARITABLE CONT")

OWN_LABEL_TAG = "own-label"
FUEL_TAG = "fuel"
ALCOHOL_TAG = "alcohol"
TOBACCO_TAG = "tobacco"

# A station sells little but fuel; a corner shop sees few of the panel's shoppers.
_FUEL_SHARE_MIN = 0.5
_CORNER_BASKETS_MAX = 100


@dataclass(frozen=True)
class Catalogue:
    """The catalogue as frames, one row for each category, product and store."""

    categories: pl.DataFrame
    products: pl.DataFrame
    stores: pl.DataFrame


def read() -> Catalogue:
    """Return the catalogue of the data set."""
    products = _products()
    return Catalogue(categories=_categories(products), products=products, stores=_stores())


def slug(column: pl.Expr) -> pl.Expr:
    """Return names as parts of ids: small letters and digits, everything else a dash."""
    return column.str.to_lowercase().str.replace_all(r"[^a-z0-9]+", "-").str.strip_chars("-")


def _products() -> pl.DataFrame:
    department = slug(pl.col("department"))
    category = slug(pl.col("product_category"))
    kind = slug(pl.col("product_type"))
    return (
        dataset.scan("products")
        .with_columns(
            department_id=department,
            category_path=pl.concat_str(department, category, separator="."),
            type_path=pl.concat_str(department, category, kind, separator="."),
        )
        .with_columns(type_path=_shortened(pl.col("type_path")))
        .select(
            sku=pl.col("product_id").cast(pl.String),
            display_name=_display_name(),
            department="department",
            product_category="product_category",
            product_type="product_type",
            department_id="department_id",
            category_path="category_path",
            type_path="type_path",
            category_id=pl.coalesce("type_path", "category_path", "department_id"),
            brand="brand",
            tags=_tags(),
            weighed=_is_fuel(),
            earning_excluded=_is_fuel() | _is_tobacco() | _is_no_goods(),
            points_payment_excluded=_is_tobacco() | _is_alcohol() | _is_no_goods(),
        )
        .sort("sku")
        .collect()
    )


def _shortened(path: pl.Expr) -> pl.Expr:
    """Return paths of at most 64 characters; those cut keep apart by the number of their rank."""
    rank = path.rank("dense").cast(pl.String)
    cut = pl.concat_str(path.str.slice(0, 58), pl.lit("~"), rank)
    return pl.when(path.str.len_chars() > 64).then(cut).otherwise(path)


def _display_name() -> pl.Expr:
    kind = pl.coalesce("product_type", "product_category", "department").str.to_titlecase()
    return pl.concat_str(kind, pl.col("package_size"), separator=", ", ignore_nulls=True)


def _is_fuel() -> pl.Expr:
    return (pl.col("product_type") == FUEL_TYPE).fill_null(value=False)


def _is_tobacco() -> pl.Expr:
    return pl.col("product_category").is_in(TOBACCO).fill_null(value=False)


def _is_alcohol() -> pl.Expr:
    return pl.col("product_category").is_in(ALCOHOL).fill_null(value=False)


def _is_no_goods() -> pl.Expr:
    return pl.col("department").is_in(NOT_GOODS)


def _tags() -> pl.Expr:
    marks = [
        pl.when(holds).then(pl.lit(tag))
        for tag, holds in (
            (OWN_LABEL_TAG, pl.col("brand") == "Private"),
            (FUEL_TAG, _is_fuel()),
            (ALCOHOL_TAG, _is_alcohol()),
            (TOBACCO_TAG, _is_tobacco()),
        )
    ]
    return pl.concat_list(marks).list.drop_nulls()


def _categories(products: pl.DataFrame) -> pl.DataFrame:
    """Return the tree: departments, their categories, their types; parents come first."""
    levels = (
        ("department_id", None, "department"),
        ("category_path", "department_id", "product_category"),
        ("type_path", "category_path", "product_type"),
    )
    return pl.concat(
        products.filter(pl.col(node).is_not_null())
        .select(
            category_id=pl.col(node),
            parent_id=pl.col(parent) if parent else pl.lit(""),
            display_name=pl.col(name).str.to_titlecase(),
        )
        .unique("category_id")
        .sort("category_id")
        for node, parent, name in levels
    )


def _stores() -> pl.DataFrame:
    """Return the stores; their formats follow from what they sell."""
    fuel = dataset.scan("products").select(
        "product_id", is_fuel=(pl.col("product_type") == FUEL_TYPE).fill_null(value=False)
    )
    spent = pl.col("sales_value")
    fuel_share = spent.filter(pl.col("is_fuel")).sum() / spent.sum()
    figures = (
        dataset.scan("transactions")
        .join(fuel, on="product_id", how="left")
        .group_by("store_id")
        .agg(baskets=pl.col("basket_id").n_unique(), fuel_share=fuel_share)
        .sort("store_id")
    )
    return figures.select(
        store_id=pl.col("store_id").cast(pl.String),
        display_name=pl.format("Store {}", "store_id"),
        format_id=pl.when(pl.col("fuel_share") >= _FUEL_SHARE_MIN)
        .then(pl.lit("station"))
        .when(pl.col("baskets") <= _CORNER_BASKETS_MAX)
        .then(pl.lit("corner"))
        .otherwise(pl.lit("super")),
    ).collect()
