"""Random messages of any kind of the contract, sensible or not."""

from datetime import UTC, datetime

from google.protobuf import message_factory, timestamp_pb2
from google.type import date_pb2
from hypothesis import strategies as st
from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.promotions.text import references, words

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "yes", "true", "null", "~", "007", "1.5", "12.50 USD", "10%", "a: b", "# x"]
    ),
)
PATHS = st.sampled_from(
    [
        "rewards[0].percent_off.basis_points",
        "rewards[0].amount_off.amount_minor",
        "rewards[0].amount_max",
        "rewards[1].target.skus",
        "condition.basket_total.amount_min_minor",
        "condition.item_group.quantity_min_thousandths",
        "limits.budget_minor",
        "validity.period",
        "nowhere[3].at.all",
    ]
)
YEARS, MONTHS, DAYS = st.integers(0, 9_999), st.integers(0, 13), st.integers(0, 32)
_DEPTH_MAX = 5


@st.composite
def messages(draw, kind, depth=0):
    """Draw a message of a type, with any of its fields set."""
    made = message_factory.GetMessageClass(kind)()
    if kind is timestamp_pb2.Timestamp.DESCRIPTOR:
        made = timestamp_pb2.Timestamp()
        moment = draw(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
        made.FromDatetime(moment.replace(tzinfo=UTC))
        made.nanos += draw(st.integers(0, 999))
        return made
    if kind is date_pb2.Date.DESCRIPTOR:
        return draw(st.builds(date_pb2.Date, year=YEARS, month=MONTHS, day=DAYS))
    if kind is campaign_pb2.HourWindow.DESCRIPTOR:
        return campaign_pb2.HourWindow(
            start_minute=draw(st.integers(0, 1440)), end_minute=draw(st.integers(0, 1440))
        )
    chosen = {}
    for one in kind.fields:
        if not draw(st.booleans()):
            continue
        chosen[one.containing_oneof.name if one.containing_oneof else one.name] = one
    for one in chosen.values():
        _put(draw, made, one, depth)
    return made


def _put(draw, made, one, depth):
    if one.message_type is not None:
        if depth >= _DEPTH_MAX:
            return
        inner = messages(one.message_type, depth + 1)
        if one.is_repeated:
            getattr(made, one.name).extend(draw(st.lists(inner, max_size=2)))
        else:
            getattr(made, one.name).SetInParent()
            getattr(made, one.name).CopyFrom(draw(inner))
            getattr(made, one.name).SetInParent()
        return
    values = _values(one)
    if one.is_repeated:
        getattr(made, one.name).extend(draw(st.lists(values, max_size=3)))
    else:
        setattr(made, one.name, draw(values))


def _values(one):
    if one.enum_type is not None:
        return st.sampled_from(sorted(words.values_of(one.enum_type).values()))
    if one.name == references.FIELD:
        return st.from_regex(references.ID, fullmatch=True)
    if one.containing_type is campaign_pb2.Parameter.DESCRIPTOR and one.name == "field":
        return PATHS
    if one.type == words.Field.TYPE_STRING:
        return TEXTS
    if one.type == words.Field.TYPE_BOOL:
        return st.booleans()
    bits = 31 if one.type == words.Field.TYPE_INT32 else 59
    return st.integers(-(2**bits) + 1, 2**bits - 1)


rules = messages(campaign_pb2.CampaignRules.DESCRIPTOR)
programs = messages(program_pb2.ProgramRules.DESCRIPTOR)
