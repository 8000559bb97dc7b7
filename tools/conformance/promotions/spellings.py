"""What engines call the words of the form, for cases that nobody can read as they are written.

The readers know most words by their parts. What is here are other names for one and the same thing,
each only where it can mean nothing else; a word that the form has itself is never respelt.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from tools.conformance.promotions.words import Plain

_Names: TypeAlias = dict[str, dict[str, str]]

# Ours, and what else it is called.
_LIMITS = {
    "usage_limit": "max_usage redemption_limit redemptions_limit total_limit usage_limit_total"
    " quantity_limit max_uses max_redemptions uses_total",
    "per_member": "per_customer_limit per_customer_usage_limit usage_limit_per_customer"
    " usage_limit_per_user max_uses_per_customer uses_per_customer limit_per_customer"
    " apply_once_per_customer once_per_customer one_use_per_user",
    "max_applications": "per_order_limit limit_per_order max_times times max_occurrence"
    " application_limit max_uses_per_order max_uses_per_cart",
    "campaign_budget": "spend_limit campaign_limit budget",
    "budget_amount": "total_budget budget_total",
    "partial_allowed": "allow_partial partial_discounts",
}
_CONDITIONS = {
    "goods_total_gte": "min_spent min_spent_amount threshold cart_minimum minimum_purchase"
    " min_purchase_amount order_minimum min_amount minimum_amount minimum_subtotal min_subtotal"
    " minimum_spend min_order_value",
    "goods_total_lte": "max_amount maximum_amount maximum_spend maximum_subtotal max_subtotal",
    "total_qty_gte": "min_items minimum_items min_checkout_items_quantity quantity_at_least"
    " min_quantity minimum_quantity",
    "distinct_products_gte": "min_distinct_products min_distinct_items",
    "store_in": "location_in shop_in locations shops stores",
    "value_gte": "value_at_least",
    "member_segment_in": "customer_groups customer_segments segments audience",
}
KEYS = {
    "campaign": {
        "reward": "action actions benefit benefits discount application_method effect effects"
        " rewards",
        "conditions": "rules criteria requirements predicates eligibility",
        "ends": "ends_at end_date valid_until valid_to valid_through expires expires_at"
        " expiration_date date_expires to_date end until",
        "starts": "starts_at start_date valid_from from_date active_from begin start",
        "priority": "weight",
        "active": "is_active is_enabled",
    },
    "reward": {
        "max_units_per_line": "maximum_quantity max_qty_per_line limit_per_line per_line_limit"
        " max_items_per_line discount_qty",
        "max_units_total": "maximum_units max_units_per_order per_order_limit"
        " usage_limit_per_order limit_usage_to_x_items",
        "get_qty": "apply_to_quantity get_quantity reward_quantity target_quantity"
        " discounted_quantity reward_qty free_qty",
        "max_amount": "maximum amount_limit upper_limit up_to",
        "qualifier": "buy_rules buy buys requires required condition_product trigger_items"
        " qualifying qualifying_items",
        "max_reward_units": "max_free max_free_qty",
        "per_each": "per_amount per every",
        "repeat": "repeatable recursive apply_repeatedly multiply apply_multiple_times",
        "value": "discount_value discount_amount reward_value",
        "allocation": "allocation_method allocation_type distribution spread apply_mode",
        "tiers": "steps levels thresholds tier brackets ranges",
        "exclude": "excluded excludes exclusions excluded_items except",
        "gifts": "gift_products free_products gift_items free_items giftable_products products",
        "select": "selection_mode sort",
        "rounding": "round rounding_mode rounding_strategy",
        "basis": "base based_on calculated_on applies_on",
        "max_share": "maximum_share max_part max_percent_of_order",
        "points_per_currency": "points_per_unit_of_money point_rate",
        "per_currency": "points_per_currency_unit points_per_money rate reward_point_amount",
        "factor": "multiplier multiply_by times",
    },
    "part": {
        "qty": "buy_rules_min_quantity min_quantity minimum_quantity buy_quantity min_qty"
        " required_quantity quantity",
        "filter": "rules items products",
    },
    "target": {
        "filter": "target_rules rules products items matching where",
        "scope": "target_type type level applies_to on",
    },
    "filter": {
        "category_in": "categories category_ids product_categories category in_categories taxon"
        " taxons taxon_ids category_id",
        "sku_in": "skus sku product_ids products product variants variant_ids articles"
        " product_variant_ids",
        "brand_in": "brands brand brand_ids",
        "tag_in": "tags tag tag_ids",
        "unit_price_gte": "min_price minimum_price price_from min_unit_price",
        "unit_price_lte": "max_price maximum_price price_to max_unit_price",
        "not_discounted": "exclude_sale_items without_sale_items exclude_on_sale only_full_price",
    },
    "condition": {
        "value": "amount threshold minimum min min_amount",
        "values": "ids in list",
    },
    "tier": {
        "qty_gte": "min_qty min_quantity from_qty quantity_from",
        "from": "threshold min_amount amount_from",
    },
    "limits": _LIMITS,
    "stacking": {
        "mode": "policy strategy combination_policy type",
        "combines_with": "combinable_with combine_with stackable_with compatible_with",
        "incompatible_with": "conflicts_with exclusion_ids",
        "basis": "base applied_on calculation_base calculate_on",
        "combinable": "stackable can_combine combinable_with_other_offers",
        "group": "exclusion_group exclusivity_group stacking_group evaluation_group",
    },
    "cart": {
        "lines": "items line_items products",
        "member": "customer user buyer",
        "coupons": "codes coupon_codes promo_codes",
    },
    "line": {
        "line": "id line_id",
        "qty": "quantity count",
        "unit_price": "price",
        "sku": "product_id variant_id item",
    },
}
VALUES = {
    "reward.type": {
        "buy_x_get_y": "bxgy buyget",
        "percent_off": "quantity_tiers volume_discount quantity_break",
        "tiered_percent": "spend_tiers spend_thresholds",
    },
    "reward.allocation": {"across": "by_value", "each_line": "per_position"},
    "stacking.mode": {
        "exclusive": "non_stackable no_stacking exclusive_use",
        "stack": "combinable cumulative stacking combine",
        "best_of": "max greatest max_discount exclusive_in_group",
        "compound": "multiplicative",
    },
    "condition.type": {
        **_CONDITIONS,
        "cart_has_no_discounted_items": "exclude_sale_items",
        "member_tier_eq": "loyalty_tier",
        "first_order": "new_customer",
        "and": "all_of",
        "or": "any_of one_of",
    },
}
# What stands inside of what.
INSIDE = {
    "case": {"campaigns": "campaign", "cart": "cart"},
    "campaign": {
        "reward": "reward",
        "conditions": "condition",
        "limits": "limits",
        "stacking": "stacking",
    },
    "reward": {
        "target": "target",
        "qualifier": "part",
        "buy": "part",
        "get": "part",
        "filter": "filter",
        "exclude": "filter",
        "rewards": "reward",
        "tiers": "tier",
        "items": "part",
        "groups": "part",
        "parts": "part",
        "pick": "pick",
        **dict.fromkeys(("group", "set", "set_group", "package", "bundle"), "part"),
    },
    "target": {"filter": "filter"},
    "part": {"filter": "filter"},
    "condition": {"filter": "filter", "conditions": "condition"},
    "cart": {"lines": "line"},
}


def _turn(table: Mapping[str, Mapping[str, str]]) -> _Names:
    return {
        place: {name: ours for ours, names in words.items() for name in names.split()}
        for place, words in table.items()
    }


# Words beside those of a campaign that belong into its stacking; some say all by being there.
_STACKING = {
    "stackable": "combinable",
    "combinable": "combinable",
    "incompatible_with": "incompatible_with",
    "excludes": "incompatible_with",
    "exclusive_group": "group",
    "combines_with": "combines_with",
}
_ALONE = ("exclusive", "individual_use", "non_stackable")
_KEYED = frozenset({"reward", "part", "pick", "condition"})  # where a word may end in `_key`
_CAPS = ("max_discount", "max_discount_amount", "maximum_discount", "max_discount_per_order")
_USED = ("used", "usage_count", "times_used", "uses_so_far")
_SPENT = ("budget_used", "budget_spent", "spent")
_SPANS = ("valid", "validity", "schedule", "period", "dates")
_OURS, _OUR_VALUES = _turn(KEYS), _turn(VALUES)
_ASKED = _turn({"campaign": _CONDITIONS})["campaign"]


def respell(plain: Plain) -> Plain:
    """Return a case with our words for what it says; what it is written with stays as it is."""
    return {str(name): value for name, value in _respell(plain, "case").items()}


def _respell(plain: Any, place: str) -> Any:
    if isinstance(plain, list):
        return [_respell(one, place) for one in plain]
    if not isinstance(plain, Mapping):
        return plain
    names = {str(name): _our_name(str(name), place) for name in plain}
    if "get" in names:  # what is bought stands beside what is got
        names.pop("buy", None)
    taken = {name for name, ours in names.items() if name == ours}
    said: dict[str, Any] = {}
    for name, value in plain.items():
        ours = names.get(str(name), str(name))
        ours = str(name) if ours in said or (ours in taken and ours != name) else ours
        said[ours] = _say(ours, value, place)
    if place in {"target", "part"}:
        return _gather_filter(said)
    return _lift(said) if place == "campaign" else said


def _our_name(name: str, place: str) -> str:
    if place == "case":
        return name
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    if place in _KEYED:
        snake = snake.removesuffix("_key")
    return _OURS.get(place, {}).get(snake, snake)


def _say(name: str, value: Any, place: str) -> Any:
    """Return what stands under a word of ours, in the shape that the word has."""
    inside = INSIDE.get(place, {}).get(name)
    if name == "reward" and isinstance(value, list):
        value = value[0] if len(value) == 1 else {"type": "multi", "rewards": value}
    if inside:
        return _respell(value, inside)
    if name.endswith("_in") and isinstance(value, str):
        return [value]
    if name == "per_member" and value is True:
        return 1
    if isinstance(value, str):
        return _OUR_VALUES.get(f"{place}.{name}", {}).get(value, value)
    return value


def _gather_filter(words: dict[str, Any]) -> dict[str, Any]:
    """Return what is meant with the words of its goods in a filter of their own."""
    found = {
        ours: _say(ours, words.pop(name), "filter")
        for name in list(words)
        if (ours := _OURS["filter"].get(name)) and "filter" not in words
    }
    return {**words, "filter": found} if found else words


_SHAPES: dict[str, type] = {"limits": dict, "stacking": dict, "reward": dict, "conditions": list}


def _lift(campaign: dict[str, Any]) -> dict[str, Any]:
    """Return a campaign whose limits, conditions and stacking do not stand beside its words."""
    said = {name: campaign.pop(name, None) or kind() for name, kind in _SHAPES.items()}
    if any(not isinstance(said[name], kind) for name, kind in _SHAPES.items()):
        return {**campaign, **said}
    for name in list(campaign):
        if limit := name if name in _LIMITS else _OURS["limits"].get(name):
            said["limits"].setdefault(limit, _say(limit, campaign.pop(name), "limits"))
        elif condition := _ASKED.get(name):
            value = campaign.pop(name)
            word = "values" if isinstance(value, list) else "value"
            said["conditions"] = [*said["conditions"], {"type": condition, word: value}]
        elif name in _STACKING:
            said["stacking"].setdefault(_STACKING[name], campaign.pop(name))
            if name == "exclusive_group":
                said["stacking"].setdefault("mode", "best_of")
    _settle_limits(campaign, said["limits"], said["reward"])
    for words in (campaign, said["stacking"]):
        alone = [name for name in _ALONE if words.get(name) is True]
        if alone:
            said["stacking"]["mode"] = "exclusive"
        for name in alone:
            words.pop(name)
    _open_spans(campaign)
    return {**campaign, **{name: words for name, words in said.items() if words}}


def _settle_limits(
    campaign: dict[str, Any], limits: dict[str, Any], reward: dict[str, Any]
) -> None:
    """Let bounds of one discount stand at the reward, and what is used of a limit with it."""
    for words in (campaign, limits):
        for name in _CAPS:
            if name in words and "max_amount" not in reward:
                reward["max_amount"] = words.pop(name)
    if isinstance(limits.get("campaign_budget"), str | int):
        limits.setdefault("budget_amount", limits.pop("campaign_budget"))
    _join(limits, "usage_limit", _USED)
    _join(limits, "budget_amount", _SPENT)


def _join(limits: dict[str, Any], bound: str, names: tuple[str, ...]) -> None:
    """Let what is used of a limit stand with it."""
    used = next((name for name in names if name in limits), "")
    if used and bound in limits and not isinstance(limits[bound], Mapping):
        limits[bound] = {"limit": limits[bound], "used": limits.pop(used)}


def _open_spans(campaign: dict[str, Any]) -> None:
    """Let the ends of a span stand as words of the campaign."""
    for name in _SPANS:
        span = campaign.get(name)
        if isinstance(span, Mapping):
            ends = {_SPAN_ENDS.get(end, _our_name(end, "campaign")): at for end, at in span.items()}
            if ends.keys() <= {"starts", "ends"} and not ends.keys() & campaign.keys():
                campaign.pop(name)
                campaign.update(ends)


_SPAN_ENDS = {"from": "starts", "to": "ends"}
