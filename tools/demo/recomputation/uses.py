"""Benefits that a household gets once: which purchase got them, told in the order of time."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

Step = tuple[int, int, str]


@dataclass(frozen=True)
class Claim:
    """A purchase that would get the benefit if the household still had it."""

    basket_id: int
    benefit: str


def settle(
    steps: Iterable[Step], claims: Iterable[Claim], *, undone: AbstractSet[int]
) -> list[Claim]:
    """Return the claims that were met, each benefit once at a time for each household.

    Steps are (household, basket, kind) in order. Of the baskets in `undone` everything came back:
    their void or return frees the benefit again.
    """
    by_basket: dict[int, list[Claim]] = {}
    for claim in claims:
        by_basket.setdefault(claim.basket_id, []).append(claim)
    used: dict[tuple[int, str], int] = {}
    met = []
    for household_id, basket_id, kind in steps:
        for claim in by_basket.get(basket_id, ()):
            key = household_id, claim.benefit
            if kind == "sale" and key not in used:
                used[key] = basket_id
                met.append(claim)
            elif kind != "sale" and basket_id in undone and used.get(key) == basket_id:
                del used[key]
    return met
