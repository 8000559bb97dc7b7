"""Conditions in CEL, for what the structured language has no words for.

Expressions see whole numbers, texts, and maps of them under the names of `VARIABLES`, all of one
type, so that a misspelt name or a wrong comparison is found when the campaign is written. They
compile once, run natively, and do so after the index has left few campaigns. A loop over what the
cart holds is cut off after some 10,000 steps, about five milliseconds.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cel_expr_python import cel

from services.promotions.engine.baskets import BRAND, CATEGORY, SKU, TAG
from services.promotions.engine.scenes import Scene

LENGTH_MAX = 1_000
_NAMES = cel.Type.List(cel.Type.STRING)
_NUMBERS = cel.Type.Map(cel.Type.STRING, cel.Type.INT)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why an expression cannot run, and where that shows, both counted from 1."""

    problem: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Unable:
    """Why an expression gave no answer; `unanswered` when another service was not there."""

    problem: str = ""
    unanswered: bool = False


#: Answers whether the condition holds, or why that cannot be said.
Program = Callable[[Scene], bool | Unable]


def _amounts_by(kind: int) -> Callable[[Scene], dict[str, int]]:
    return lambda scene: _sums(scene, kind, scene.left)


def _quantities_by(kind: int) -> Callable[[Scene], dict[str, int]]:
    return lambda scene: _sums(scene, kind, scene.basket.quantities)


def _sums(scene: Scene, kind: int, values: Sequence[int]) -> dict[str, int]:
    basket = scene.basket
    return {
        name: sum([values[place] for place in basket.places(mask)])
        for name, mask in basket.masks[kind].items()
    }


def _segments(scene: Scene) -> list[str]:
    member = scene.facts.member
    return [] if member is None else sorted(member.segment_ids)


def _purchases_before(scene: Scene) -> int | None:
    member = scene.facts.member
    return None if member is None else member.purchases_before


#: Every name that expressions know: its type, and where its value comes from.
VARIABLES: Mapping[str, tuple[Any, Callable[[Scene], Any]]] = {
    "subtotal_minor": (cel.Type.INT, lambda scene: scene.basket.subtotal),
    "total_minor": (cel.Type.INT, lambda scene: sum(scene.left)),
    "skus": (_NAMES, lambda scene: sorted(scene.basket.masks[SKU])),
    "categories": (_NAMES, lambda scene: sorted(scene.basket.masks[CATEGORY])),
    "brands": (_NAMES, lambda scene: sorted(scene.basket.masks[BRAND])),
    "tags": (_NAMES, lambda scene: sorted(scene.basket.masks[TAG])),
    "sku_amount_minor": (_NUMBERS, _amounts_by(SKU)),
    "category_amount_minor": (_NUMBERS, _amounts_by(CATEGORY)),
    "brand_amount_minor": (_NUMBERS, _amounts_by(BRAND)),
    "tag_amount_minor": (_NUMBERS, _amounts_by(TAG)),
    "sku_quantity_thousandths": (_NUMBERS, _quantities_by(SKU)),
    "category_quantity_thousandths": (_NUMBERS, _quantities_by(CATEGORY)),
    "brand_quantity_thousandths": (_NUMBERS, _quantities_by(BRAND)),
    "tag_quantity_thousandths": (_NUMBERS, _quantities_by(TAG)),
    "member_known": (cel.Type.BOOL, lambda scene: scene.facts.member is not None),
    "segments": (_NAMES, _segments),
    "purchases_before": (cel.Type.INT, _purchases_before),
    "store_id": (cel.Type.STRING, lambda scene: scene.cart.store_id),
    "region_id": (cel.Type.STRING, lambda scene: scene.facts.store.region_id),
    "format_id": (cel.Type.STRING, lambda scene: scene.facts.store.format_id),
    "channel": (cel.Type.STRING, lambda scene: scene.cart.channel.name.lower()),
    "year": (cel.Type.INT, lambda scene: scene.now.year),
    "month": (cel.Type.INT, lambda scene: scene.now.month),
    "day": (cel.Type.INT, lambda scene: scene.now.day),
    "weekday": (cel.Type.INT, lambda scene: scene.now.isoweekday()),
    "minute_of_day": (cel.Type.INT, lambda scene: scene.now.hour * 60 + scene.now.minute),
}
_ABOUT_MEMBER = frozenset({"member_known", "segments", "purchases_before"})
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*?)(?:\n|$)")


@cache
def _environment() -> Any:
    return cel.NewEnv(variables={name: kind for name, (kind, _) in VARIABLES.items()})


def find_flaw(text: str) -> Flaw | None:
    """Return why this is no condition, or None when it is one."""
    if len(text) > LENGTH_MAX:
        return Flaw(f"has {len(text)} characters, at most {LENGTH_MAX} are allowed")
    try:
        expression = _environment().compile(text)
    except RuntimeError as error:
        return _read(str(error))
    kind = expression.return_type().name()
    if kind != cel.Type.BOOL.name():
        return Flaw(f"answers {kind.lower()} and not yes or no")
    return None


def _read(message: str) -> Flaw:
    """Return the first thing that the compiler found."""
    found = _PLACE.search(message)
    if found is None:
        return Flaw(message.partition("\n")[0])
    line, column, problem = found.groups()
    return Flaw(problem.removesuffix(" (in container '')"), int(line), int(column))


def mentions(text: str, name: str) -> bool:
    """Tell whether a name stands in the expression."""
    return name in _WORD.findall(text)


def compile_expression(text: str) -> Program:
    """Return the program of an expression without flaw."""
    expression = _environment().compile(text)
    words = set(_WORD.findall(text))
    used = [(name, read) for name, (_, read) in VARIABLES.items() if name in words]
    about_member = bool(words & _ABOUT_MEMBER)
    counts = "purchases_before" in words

    def run(scene: Scene) -> bool | Unable:
        member = scene.facts.member
        if member is None and about_member and not scene.facts.identity_answered:
            return Unable(unanswered=True)
        if member is not None and counts and member.purchases_before is None:
            return Unable(unanswered=True)
        data = {name: value for name, read in used if (value := read(scene)) is not None}
        try:
            result = expression.eval(data=data)
        except RuntimeError as error:
            return Unable(_shorten(str(error)))
        if result.type().name() != cel.Type.BOOL.name():
            return Unable(_shorten(str(result.value())))
        return bool(result.value())

    return run


def _shorten(problem: str) -> str:
    """Return what went wrong without the kind of error around it."""
    return problem.partition(": ")[2].partition(" [")[0] or problem
