"""How each field of the contract is called and written in text."""

import enum
from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor, message
from tessera.promotions.v1 import campaign_pb2, program_pb2

Field = descriptor.FieldDescriptor
_INTEGERS = {Field.TYPE_INT32, Field.TYPE_INT64}


class Unit(enum.Enum):
    """What a whole number of the contract counts, and so how it is written."""

    #: Minor units: `12.50 USD`.
    MONEY = enum.auto()
    #: Hundredths of a percent: `12.5%`.
    PERCENT = enum.auto()
    #: Thousandths of a unit or a kilogram: `1.5`.
    QUANTITY = enum.auto()
    #: Hundredths: `1.5`.
    FACTOR = enum.auto()
    #: Itself: `3`.
    COUNT = enum.auto()


#: Ends of names that say the unit, with what is written instead.
_ENDINGS = (
    ("basis_points", "percent", Unit.PERCENT),
    ("_minor", "", Unit.MONEY),
    ("_thousandths", "", Unit.QUANTITY),
    ("_hundredths", "", Unit.FACTOR),
)
#: Messages that may be written as the value of their first field when nothing else is said.
BRIEF = frozenset(
    {
        "Audience",
        "CalendarWindow",
        "Combination",
        "ConditionList",
        "CouponTrigger",
        "Downgrade",
        "EarnPercent",
        "Expression",
        "FixedPrice",
        "LocalizedText",
        "Measure",
        "MultiBuy",
        "PercentOff",
        "PointsPrice",
        "PurchaseNumber",
        "RewardPoints",
        "RollingWindow",
        "SetPrice",
    }
)
RULES = campaign_pb2.CampaignRules.DESCRIPTOR
PROGRAM = program_pb2.ProgramRules.DESCRIPTOR
_REWARD = campaign_pb2.Reward.DESCRIPTOR
_STEP = campaign_pb2.Step.DESCRIPTOR
_NOTHING = program_pb2.Measure()
_IN_MONEY = campaign_pb2.SCALE_MEASURE_AMOUNT
#: Rewards whose bound counts points or stamps, not money.
_COUNTED = frozenset(
    {"earn_percent", "earn_points", "earn_stamps", "instant_win", "multiply_points"}
)
#: Fields whose units or bounds depend on what is said beside them, so they are read after it.
LATER = frozenset({"parameters", "amount_max", "steps", "tiers", "goal", "per_ticket"})
#: Numbers in what the measure of their program counts.
_MEASURED = frozenset(
    {("Tier", "from_amount"), ("ChallengeRules", "goal"), ("DrawRules", "per_ticket")}
)
#: Numbers that are money or not, depending on what is said beside them.
EITHER = _MEASURED | {("Reward", "amount_max"), ("Step", "begin")}


def word_of(field: Field) -> str:
    """Return what a field is called in text."""
    if field.type in _INTEGERS:
        for ending, word, _ in _ENDINGS:
            if field.name.endswith(ending):
                return field.name.removesuffix(ending) + word
    return field.name


@cache
def fields_of(kind: descriptor.Descriptor) -> Mapping[str, Field]:
    """Return the fields of a message by their words, in the contract's order."""
    return {word_of(field): field for field in kind.fields}


def unit_of(
    field: Field,
    holder: message.Message | None = None,
    rules: message.Message | None = None,
) -> Unit:
    """Return what a number counts.

    `holder`, the message around it, tells money from points; `rules`, what a scale or a program
    measures.
    """
    if field.containing_type and (field.containing_type.name, field.name) in _MEASURED:
        return Unit.MONEY if _counts_money(rules) else Unit.COUNT
    if field.containing_type is _REWARD and field.name == "amount_max":
        kind = "" if holder is None else holder.WhichOneof("kind") or ""
        return Unit.COUNT if kind in _COUNTED else Unit.MONEY
    if field.containing_type is _STEP and field.name == "begin":
        in_money = (
            isinstance(rules, campaign_pb2.CampaignRules) and rules.scale.measure == _IN_MONEY
        )
        return Unit.MONEY if in_money else Unit.COUNT
    for ending, _, unit in _ENDINGS:
        if field.type in _INTEGERS and field.name.endswith(ending):
            return unit
    return Unit.COUNT


def _counts_money(rules: message.Message | None) -> bool:
    """Tell whether a program counts money."""
    if not isinstance(rules, program_pb2.ProgramRules):
        return False
    measured = getattr(rules, rules.WhichOneof("kind") or "", None)
    return getattr(measured, "measure", _NOTHING).kind == program_pb2.MEASURE_KIND_SPEND


@cache
def values_of(kind: descriptor.EnumDescriptor) -> Mapping[str, int]:
    """Return the numbers of an enumeration by their words: lower case, without the prefix."""
    prefix = f"{prefix_of(kind)}_"
    return {value.name.removeprefix(prefix).lower(): value.number for value in kind.values}


def prefix_of(kind: descriptor.EnumDescriptor) -> str:
    """Return what all names of an enumeration begin with."""
    return "".join(
        f"_{letter}" if letter.isupper() and place else letter
        for place, letter in enumerate(kind.name)
    ).upper()


def is_choice(kind: descriptor.Descriptor) -> bool:
    """Tell whether a message is nothing but one of several kinds."""
    return len(kind.oneofs) == 1 and len(kind.oneofs[0].fields) == len(kind.fields)


def to_words(path: str, root: descriptor.Descriptor = RULES) -> str:
    """Return a path of the contract in words: `rewards[0].percent_off.percent`."""
    return _translate(
        path, root, lambda kind: {field.name: field for field in kind.fields}, word_of
    )


def from_words(path: str) -> str:
    """Return a path in words as the contract has it; what it does not know stays as it is."""
    return _translate(path, RULES, fields_of, lambda field: str(field.name))


def _translate(path: str, root: descriptor.Descriptor, known: Any, name: Any) -> str:
    kind: descriptor.Descriptor | None = root
    parts = []
    for part in path.split("."):
        head, bracket, rest = part.partition("[")
        field = None if kind is None else known(kind).get(head)
        parts.append((head if field is None else name(field)) + bracket + rest)
        kind = None if field is None else field.message_type
    return ".".join(parts)
