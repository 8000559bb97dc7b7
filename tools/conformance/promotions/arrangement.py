"""Who stands where: lanes, priorities, exclusive groups and percentages of a case's campaigns.

This is what a marketer decides who sets the campaigns of the case up with us. Prices of articles
come before discounts of the receipt, unless the case puts all into one order.
"""

from dataclasses import dataclass, replace
from itertools import combinations

from services.promotions import engine
from services.promotions.engine import Basis, GroupChoice, Lane
from tools.conformance.promotions.offers import Offer
from tools.conformance.promotions.words import Unsupported

_NAMED_LANES = ("", "pre", "default", "post")
_LANES = (Lane.ITEM, Lane.MULTI_BUY, Lane.RECEIPT, Lane.COUPON)


@dataclass(slots=True)
class Position:
    """A campaign on its way to its place; `level` counts the lanes that the case needs."""

    offer: Offer
    natural: Lane
    group: str = ""
    alone: bool = False
    side: str = ""
    foes: frozenset[str] = frozenset()
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


def arrange_earnings(offers: list[Offer]) -> dict[str, engine.Combination]:
    """Return the combination of each campaign that gives something for later, by its name.

    Multipliers find what is given for money, and what stands before them in the file.
    """
    earning = [one for one in offers if one.gift.earns]
    multiplying = [one.place for one in earning if _multiplies(one)]
    return {
        one.name: engine.Combination(
            Lane.EARN,
            priority=1
            if one.place in multiplying
            else 2 * (one.gift.rate is not None or one.place < min(multiplying, default=0)),
        )
        for one in earning
    }


def _multiplies(offer: Offer) -> bool:
    return any(isinstance(one.kind, engine.MultiplyPoints) for one in offer.gift.rewards)


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
        one.alone = stacking.mode == "exclusive"
        one.side = stacking.side
        if stacking.kind == "product":
            one.group = "product"
            one.offer = replace(one.offer, stacking=replace(stacking, by_line=True))
    if any(one.offer.stacking.always for one in positions):
        _keep_from_exclusive(positions)
    foes = {one.offer.name: _find_foes(one, positions) for one in positions}
    rivals = [one for one in positions if foes[one.offer.name]]
    if not rivals:
        return
    by_name = not any(one.offer.stacking.kind for one in rivals)
    circles = {one.offer.name: _circle(foes, one.offer.name) for one in rivals}
    if by_name and all(
        circles[one.offer.name] == circles[name] for one in rivals for name in foes[one.offer.name]
    ):
        for one in rivals:
            one.group = one.group or min(circles[one.offer.name])
        return
    _part(rivals, foes)


def _keep_from_exclusive(positions: list[Position]) -> None:
    """Let exclusive campaigns exclude all but those that always go with them."""
    for one in positions:
        if not one.offer.stacking.always:
            one.foes = frozenset(
                other.offer.name
                for other in positions
                if other is not one
                and not other.offer.stacking.always
                and (one.alone or other.alone)
            )
    for one in positions:
        one.alone = False  # its foes say it


def _circle(foes: dict[str, frozenset[str]], name: str) -> frozenset[str]:
    return foes[name] | {name}


def _find_foes(one: Position, positions: list[Position]) -> frozenset[str]:
    """Return whom a campaign does not go together with: by name, or by class."""
    mine = one.offer.stacking
    found = set()
    for other in positions:
        theirs = other.offer.stacking
        named = other.offer.name in mine.incompatible_with or (
            one.offer.name in theirs.incompatible_with
        )
        by_line = mine.kind == theirs.kind == "product"  # the better one on each line
        classed = bool(mine.kind and theirs.kind and not by_line) and not (
            theirs.kind in mine.combines_with and mine.kind in theirs.combines_with
        )
        # On goods and on orders campaigns combine all the same.
        alone = one.offer.gift.on_order == other.offer.gift.on_order and not (
            mine.combinable and theirs.combinable
        )
        if other is not one and (named or classed or alone):
            found.add(other.offer.name)
    return frozenset(found)


def _part(rivals: list[Position], foes: dict[str, frozenset[str]]) -> None:
    """Make sides of those who go together, and the better side wins; else the first one does."""
    sides = [_side_of(one, rivals, foes) for one in rivals]
    split = all(
        (sides[a] == sides[b]) == (two.offer.name not in foes[one.offer.name])
        for a, one in enumerate(rivals)
        for b, two in enumerate(rivals)
        if a != b
    )
    for one, side in zip(rivals, sides, strict=True):
        if split:
            one.side = one.side or side
        else:
            one.foes = foes[one.offer.name]


def _side_of(one: Position, rivals: list[Position], foes: dict[str, frozenset[str]]) -> str:
    """Return a name for all who go together with a campaign."""
    names = [two.offer.name for two in rivals if two.offer.name not in foes[one.offer.name]]
    return min(names)


def _even_out(positions: list[Position]) -> None:
    """Let those stand in one lane that know each other: a group, one order, an exclusive one."""
    together = any(
        one.alone
        or one.offer.stacking.stop
        or one.offer.stacking.by_value
        or one.offer.stacking.by_priority
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
    named = dict.fromkeys(one.offer.stacking.lane for one in positions)
    lanes = [*_NAMED_LANES, *[name for name in named if name not in _NAMED_LANES]]
    for one in positions:
        offer = one.offer
        given = offer.stacking
        turn = folded.index(offer.code.upper()) if offer.code.upper() in folded else -1
        free = offer.contends or (ranked and one.group and given.choice is GroupChoice.BEST)
        open_order: tuple[object, ...] = () if free else (turn, offer.place)
        one.key = (
            not one.alone,
            lanes.index(given.lane),
            given.sets_first and not offer.gift.multi_buy,
            -(offer.priority or 0) * (given.by_priority or 1),
            -offer.gift.value * given.by_value,
            not offer.gift.percent if given.kind else False,
            *open_order,
        )
    positions.sort(key=lambda one: (one.natural, not one.offer.catalogue, one.key))


def _raise_levels(positions: list[Position]) -> None:
    level = 0
    for place, one in enumerate(positions):
        before = positions[:place]
        level += bool(before) and one.natural is not before[-1].natural
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
        return Basis.LANE if one.level else Basis.ORIGINAL
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
                stop=(one.alone and not one.foes) or one.offer.stacking.stop,
                reuse=one.offer.gift.reuse,
                group_choice=_choose(one, by_line=by_line),
                group_max=one.offer.stacking.group_max,
                contest="~sides" if alone or one.side else "",
                side=one.side or ("~together" if alone else ""),
                labels=frozenset({one.offer.name}) if one.foes else frozenset(),
                incompatible_labels=one.foes,
            )
    return settled


def _choose(one: Position, *, by_line: bool) -> GroupChoice:
    choice = one.offer.stacking.choice
    if one.group and one.offer.stacking.by_line and by_line:
        return _BY_LINE.get(choice, choice)
    return choice


_BY_LINE = {
    GroupChoice.BEST: GroupChoice.BEST_BY_LINE,
    GroupChoice.LEAST: GroupChoice.LEAST_BY_LINE,
}


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
