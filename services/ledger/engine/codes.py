"""How codes are written: for people who read them aloud and type them at a till.

31 characters, none like another: no I, L, O, 0 and 1. The last character of a code is a check: the
weighted sum of all is 0 modulo 31. As 31 is a prime and no weight comes twice, one wrong character
and two exchanged ones are always found.
"""

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
_BASE = len(ALPHABET)
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_GROUP = 4
#: Longer codes would need a weight twice.
LENGTH_MAX = _BASE - 1


def written(number: int, *, length: int) -> str:
    """Return the code of a number, check included: `length` characters of its lowest digits."""
    digits = []
    for _ in range(length - 1):
        number, digit = divmod(number, _BASE)
        digits.append(digit)
    # The check's own weight is -1, which is none of the others.
    check = sum(weight * digit for weight, digit in enumerate(digits, start=1)) % _BASE
    return "".join(ALPHABET[digit] for digit in (*digits, check))


def is_sound(code: str, *, length: int) -> bool:
    """Tell whether a normalised code may be one of ours, with no typing error in it."""
    if len(code) != length or any(character not in _VALUES for character in code):
        return False
    *digits, check = (_VALUES[character] for character in code)
    return sum(weight * digit for weight, digit in enumerate(digits, start=1)) % _BASE == check


def normalised(text: str) -> str:
    """Return a code as it is looked up: capitals, without spaces and hyphens."""
    return "".join(character for character in text.upper() if character not in " -\u00a0\t")


def grouped(code: str) -> str:
    """Return a code as it is printed, in groups of four."""
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))
