"""Objects of the form, read word by word; a word that nobody reads is a gap of the reader."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, TypeAlias

Plain: TypeAlias = Mapping[str, Any]
_NUMBER_MAX = 10**12
# What sources call the same things that the form has names for.
_SAME = {
    "taxon": "category",
    "taxons": "category",
    "taxonomy": "category",
    "facet": "tag",
    "facets": "tag",
    "label": "tag",
    "labels": "tag",
    "manufacturer": "brand",
    "vendor": "brand",
    "variant": "sku",
    "variants": "sku",
}


def fold(name: str) -> str:
    """Return a word as the form has it: `taxon_total_gte` is `category_total_gte`."""
    return "_".join(_SAME.get(part, part) for part in name.split("_"))


class Unsupported(Exception):  # noqa: N818  an answer, not a fault
    """Says what a case asks for that the engine, or this reading of the form, does not have."""

    def __init__(self, mechanic: str) -> None:
        super().__init__(mechanic)
        self.mechanic = mechanic


class Gaps:
    """Everything that a case asks for and does not find, each thing once."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def add(self, mechanic: str) -> None:
        """Remember that the case needs this."""
        self._found[mechanic] = None

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Remember what the body lacks, and go on after it."""
        try:
            yield
        except Unsupported as gap:
            self.add(gap.mechanic)

    @property
    def found(self) -> tuple[str, ...]:
        """Return what is lacking, in the order of discovery."""
        return tuple(self._found)


class Words:
    """One object of the form. `where` is its place, for the name of a word that nobody knows."""

    def __init__(self, plain: object, where: str, gaps: Gaps) -> None:
        if not isinstance(plain, Mapping):
            raise Unsupported(f"{where} that is not an object")
        said = {str(name): value for name, value in plain.items() if value is not None}
        self._left: dict[str, Any] = {
            name if (folded := fold(name)) in said else folded: value
            for name, value in said.items()
        }
        self.where = where
        self.gaps = gaps

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def __bool__(self) -> bool:
        return bool(self._left)

    def take(self, *names: str, default: Any = None) -> Any:
        """Return what stands under the first of these words that is there, and forget it."""
        for name in names:
            if name in self._left:
                return self._left.pop(name)
        return default

    def peek(self, name: str) -> Any:
        """Return what stands under a word, and leave it there."""
        return self._left.get(name)

    @property
    def left(self) -> tuple[str, ...]:
        """Return the words that nobody has read yet."""
        return tuple(self._left)

    def table(self, name: str) -> Mapping[str, Any]:
        """Return an object whose words are names of the case; empty when it is not there."""
        found = self.take(name, default={})
        if not isinstance(found, Mapping):
            raise Unsupported(f"{self.where}.{name} that is not an object")
        return found

    def put(self, name: str, value: object) -> None:
        """Let a word stand here as if it had been written here."""
        self._left[name] = value

    def drop(self, *names: str) -> None:
        """Forget words that change nothing here."""
        for name in names:
            self._left.pop(name, None)

    def lack(self, mechanics: Mapping[str, str]) -> str:
        """Forget words that ask for mechanics which are known and missing; return one of those."""
        missing = ""
        for name, mechanic in mechanics.items():
            if name in self._left:
                self._left.pop(name)
                self.gaps.add(mechanic)
                missing = missing or mechanic
        return missing

    def open(self, *names: str) -> "Words":
        """Return the object under a word; without one, an object without words."""
        return Words(self.take(*names, default={}), f"{self.where}.{names[0]}", self.gaps)

    def open_all(self, *names: str) -> "list[Words]":
        """Return the objects of the list under a word."""
        where = f"{self.where}.{names[0]}"
        return [Words(one, where, self.gaps) for one in read_list(self.take(*names), where)]

    def minor(self, *names: str) -> int | None:
        """Return an amount in minor units."""
        return self._convert(names, read_minor)

    def thousandths(self, *names: str) -> int | None:
        """Return a quantity."""
        return self._convert(names, read_thousandths)

    def basis_points(self, *names: str) -> int | None:
        """Return a percentage in hundredths of a percent."""
        return self._convert(names, read_basis_points)

    def whole(self, *names: str) -> int | None:
        """Return a whole number."""
        return self._convert(names, read_whole)

    def names(self, *names: str) -> frozenset[str]:
        """Return a list of names as a set; one name alone is a list of one."""
        found = self.take(*names, default=[])
        return frozenset(read_names(found, f"{self.where}.{names[0]}"))

    def text(self, *names: str) -> str:
        """Return a text; empty when it is not there."""
        found = self.take(*names, default="")
        if not isinstance(found, str):
            raise Unsupported(f"{self.where}.{names[0]} that is not a text")
        return found

    def flag(self, *names: str, default: bool = False) -> bool:
        """Return true or false."""
        found = self.take(*names, default=default)
        if not isinstance(found, bool):
            raise Unsupported(f"{self.where}.{names[0]} that is not true or false")
        return found

    def close(self) -> None:
        """Remember every word that nobody has read."""
        for name in self._left:
            self.gaps.add(f"unknown word: {self.where}.{name}")
        self._left.clear()

    def _convert(self, names: tuple[str, ...], convert: Any) -> int | None:
        found = self.take(*names)
        return None if found is None else int(convert(found, f"{self.where}.{names[0]}"))


def read_list(found: object, where: str) -> list[Any]:
    """Return a list; nothing is an empty one."""
    if found is None:
        return []
    if not isinstance(found, list):
        raise Unsupported(f"{where} that is not a list")
    return found


def read_names(found: object, where: str) -> list[str]:
    """Return names in their order; one name alone is a list of one."""
    if isinstance(found, str):
        return [found]
    names = read_list(found, where)
    if not all(isinstance(name, str) for name in names):
        raise Unsupported(f"{where} that are not names")
    return names


def read_number(found: object, where: str) -> Decimal:
    """Return a number; amounts are texts in the form, quantities are numbers."""
    if isinstance(found, str | int | float) and not isinstance(found, bool):
        try:
            number = Decimal(str(found))
        except InvalidOperation:
            pass
        else:
            if number.is_finite() and abs(number) <= _NUMBER_MAX:
                return number
    raise Unsupported(f"{where} that is not a number")


def read_minor(found: object, where: str) -> int:
    """Return an amount in minor units; what is finer is rounded half up, as our money is whole."""
    return _round(read_number(found, where) * 100)


def read_thousandths(found: object, where: str) -> int:
    """Return a quantity in thousandths."""
    return _scale(found, where, 1_000, "quantities finer than a thousandth")


def read_basis_points(found: object, where: str) -> int:
    """Return a percentage, written as 12.5 or 12.5%, in hundredths of a percent.

    What is finer is rounded half up.
    """
    if isinstance(found, str):
        found = found.removesuffix("%").strip()
    return _round(read_number(found, where) * 100)


def _round(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_HALF_UP))


def read_whole(found: object, where: str) -> int:
    """Return a whole number."""
    return _scale(found, where, 1, f"{where} that is not whole")


def _scale(found: object, where: str, factor: int, refusal: str) -> int:
    number = read_number(found, where) * factor
    if number != int(number):
        raise Unsupported(refusal)
    return int(number)
