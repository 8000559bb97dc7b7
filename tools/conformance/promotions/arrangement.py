"""Who stands where: lanes, priorities, exclusive groups and percentages of a case's campaigns.

This is what a marketer decides who sets the campaigns of the case up with us. Prices of articles
come before discounts of the receipt, unless the case puts all into one order; a campaign whose
threshold is measured at its turn stands in a later lane than those it waits for.
"""

from dataclasses import dataclass, replace
from itertools import combinations

from services.promotions import engine
from services.promotions.engine import Basis, Lane
from tools.conformance.promotions.offers import Offer
from tools.conformance.promotions.words import Unsupported

_LANES = (Lane.ITEM, Lane.MULTI_BUY, Lane.RECEIPT, Lane.COUPON)


@dataclass(slots=True)
class Position:
    """A campaign on its way to its place; `level` counts the lanes that the case needs."""

    offer: Offer
    natural: Lane
    group: str = ""
    stop: bool = False
    level: int = 0
    key: tuple[object, ...] = ()
    basis: Basis = Basis.RUNNING


def arrange(
    offers: list[Offer], codes: tuple[str, ...], *, lines: int
) -> dict[str, engine.Combination]:
    """Return the combination of each campaign that takes money off, by its name.

    `codes` are the coupons in the order of the request, `lines` how many lines goods stand on.
    Raises Unsupported when our lanes cannot hold the case.
    """
    positions = [Position(offer, _natural(offer)) for offer in offers if offer.gift.reduces]
    _group(positions)
    alone = any(one.offer.stacking.side == "~alone" for one in positions)
    _even_out(positions)
    _sort(positions, codes)
    _raise_levels(positions)
    for one in positions:
        one.basis = _choose_basis(one, positions)
    return _settle(positions, alone=alone, by_line=lines > 1)


def _natural(offer: Offer) -> Lane:
    gift = offer.gift
    if gift.multi_buy:
        return Lane.MULTI_BUY
    return Lane.RECEIPT if (gift.on_order or gift.mixed) and not offer.catalogue else Lane.ITEM


def _group(positions: list[Position]) -> None:
    """Find exclusive groups: named ones, incompatible ones, product discounts of one class."""
    for one in positions:
        stacking = one.offer.stacking
        one.group = stacking.group
        one.stop = stacking.mode == "exclusive"
        if stacking.kind == "product":
            one.group = "product"
            one.offer = replace(one.offer, stacking=replace(stacking, by_line=True))
    _check_classes(positions)
    foes = {one.offer.name: one.offer.stacking.incompatible_with for one in positions}
    known = [one for one in positions if _foes_of(one.offer.name, foes)]
    for one in known:
        name = one.offer.name
        circle = {name} | _foes_of(name, foes)
        if any({other} | _foes_of(other, foes) != circle for other in circle):
            raise Unsupported("campaigns that exclude each other pair by pair")
        one.group = one.group or min(circle)


def _foes_of(name: str, foes: dict[str, frozenset[str]]) -> set[str]:
    against = {other for other in foes[name] if other in foes}
    return against | {other for other, named in foes.items() if name in named}


def _check_classes(positions: list[Position]) -> None:
    """Refuse classes of which some may not meet: we have no word for "class"."""
    classed = [one.offer.stacking for one in positions if one.offer.stacking.kind]
    for one in classed:
        others = {other.kind for other in classed if other is not one}
        if not others <= one.combines_with:
            raise Unsupported("classes of campaigns that do not combine")


def _even_out(positions: list[Position]) -> None:
    """Let those stand in one lane that know each other: a group, one order, an exclusive one."""
    together = any(
        one.stop or one.offer.stacking.by_value or one.offer.stacking.by_priority
        for one in positions
    )
    for one in positions:
        mates = [
            other
            for other in positions
            if together or (one.group and other.group == one.group) or other is one
        ]
        with_sets = any(mate.offer.gift.multi_buy for mate in mates)
        one.natural = Lane.MULTI_BUY if with_sets else max(mate.natural for mate in mates)


def _sort(positions: list[Position], codes: tuple[str, ...]) -> None:
    """Sort into the order in which the case lets campaigns take their turns.

    What the case leaves open is decided by the coupons' order in the request, then by the file;
    not among members of a group, whose ties our engine decides.
    """
    ranked = any(one.offer.priority is not None for one in positions)
    folded = [code.upper() for code in codes]
    for one in positions:
        offer = one.offer
        given = offer.stacking
        turn = folded.index(offer.code.upper()) if offer.code.upper() in folded else -1
        contends = given.mode in {"best_total", "best_price_no_compound"}
        free = contends or (ranked and one.group)
        open_order: tuple[object, ...] = () if free else (turn, offer.place)
        one.key = (
            not one.stop,
            given.sets_first and not offer.gift.multi_buy,
            -(offer.priority or 0),
            -offer.gift.value if given.by_value else 0,
            not offer.gift.percent if given.kind else False,
            *open_order,
        )
    positions.sort(key=lambda one: (one.natural, not one.offer.catalogue, one.key))


def _raise_levels(positions: list[Position]) -> None:
    level = 0
    for place, one in enumerate(positions):
        before = positions[:place]
        if before and one.natural is not before[-1].natural:
            level += 1
        elif one.offer.terms.at_turn and any(other.level == level for other in before):
            level += not one.group or all(
                other.group != one.group for other in before if other.level == level
            )
        one.level = level


def _choose_basis(one: Position, positions: list[Position]) -> Basis:
    """Return what percentages are of; classes take theirs of what the class began with."""
    stacking, wanted = one.offer.stacking, one.offer.gift.basis
    if wanted in {"original", "initial"}:
        return Basis.ORIGINAL
    if wanted:
        raise Unsupported(f"unknown word: reward.basis {wanted}")
    if stacking.basis is not None:
        return stacking.basis
    percentages = [
        other for other in positions if other.level == one.level and other.offer.gift.percent
    ]
    if stacking.kind == "order" and len(percentages) > 1:
        if one.level > 0:
            raise Unsupported("percentages of what a lane began with")
        return Basis.ORIGINAL
    return Basis.RUNNING


def _settle(
    positions: list[Position], *, alone: bool, by_line: bool
) -> dict[str, engine.Combination]:
    """Return the combination of each; with one that wants to be `alone` all others are a side."""
    lanes = _choose_lanes(positions)
    settled = {}
    for level, lane in enumerate(lanes):
        members = [one for one in positions if one.level == level]
        keys = sorted({one.key for one in members}, reverse=True)
        for one in members:
            settled[one.offer.name] = engine.Combination(
                lane=lane,
                exclusive_group=one.group,
                priority=keys.index(one.key),
                basis=one.basis,
                stop=one.stop,
                reuse=one.offer.gift.reuse,
                group_choice=_choose(one, by_line=by_line),
                group_max=one.offer.stacking.group_max,
                contest="~sides" if alone or one.offer.stacking.side else "",
                side=one.offer.stacking.side or ("~together" if alone else ""),
            )
    return settled


def _choose(one: Position, *, by_line: bool) -> engine.GroupChoice:
    if one.offer.stacking.group_max:
        return engine.GroupChoice.FIRST
    if one.group and one.offer.stacking.by_line and by_line:
        return engine.GroupChoice.BEST_BY_LINE
    return engine.GroupChoice.BEST


def _choose_lanes(positions: list[Position]) -> tuple[Lane, ...]:
    """Return a lane for each level: in order, as near as possible to where it belongs."""
    levels = max((one.level for one in positions), default=-1) + 1
    natural = [min(one.natural for one in positions if one.level == at) for at in range(levels)]
    coded = [all(one.offer.code for one in positions if one.level == at) for at in range(levels)]
    of_sets = [
        any(one.offer.gift.multi_buy for one in positions if one.level == at)
        for at in range(levels)
    ]
    choices = [
        lanes
        for lanes in combinations(_LANES, levels)
        if all(coded[at] for at, lane in enumerate(lanes) if lane is Lane.COUPON)
        and all(lane is Lane.MULTI_BUY for at, lane in enumerate(lanes) if of_sets[at])
    ]
    if not choices:
        raise Unsupported("thresholds measured at a campaign's own turn, many in a row")
    return min(
        choices,
        key=lambda lanes: sum(abs(a - b) for a, b in zip(lanes, natural, strict=True)),
    )
