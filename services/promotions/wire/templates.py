"""Templates: campaigns with parameters, and what is made of them within their bounds."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.protobuf import descriptor, message
from tessera.promotions.v1 import campaign_pb2
from tessera.type.v1 import interval_pb2

from services.promotions import engine, errors
from services.promotions.wire import times

_STEP = re.compile(r"(?P<name>[a-z_]+)(?:\[(?P<place>\d{1,4})\])?")
_NUMBERS = {
    descriptor.FieldDescriptor.TYPE_INT32: 2**31 - 1,
    descriptor.FieldDescriptor.TYPE_INT64: 2**63 - 1,
}
#: Where a local campaign works is what the caller may act for, not a parameter.
_RESERVED = ("parameters", "audience.store_ids", "audience.exclude_store_ids")


@dataclass(frozen=True, slots=True)
class Spot:
    """A field that a parameter sets: the message that has it, and its descriptor."""

    holder: message.Message
    field: descriptor.FieldDescriptor


def locate(rules: campaign_pb2.CampaignRules, path: str) -> Spot | None:
    """Return the field at a path like `rewards[0].percent_off.basis_points`.

    None when there is no such field, or a list or a choice on the way does not hold it.
    """
    holder: Any = rules
    *way, last = path.split(".")
    for part in way:
        step = _STEP.fullmatch(part)
        field = step and holder.DESCRIPTOR.fields_by_name.get(step["name"])
        if not step or not field or field.message_type is None:
            return None
        if field.is_repeated:
            if step["place"] is None or int(step["place"]) >= len(getattr(holder, field.name)):
                return None
            holder = getattr(holder, field.name)[int(step["place"])]
        elif step["place"] is not None or (
            field.containing_oneof is not None and not holder.HasField(field.name)
        ):
            return None
        else:
            holder = getattr(holder, field.name)
    field = holder.DESCRIPTOR.fields_by_name.get(last)
    return None if field is None else Spot(holder, field)


def find_problems(rules: campaign_pb2.CampaignRules) -> list[engine.Problem]:
    """Return what is wrong with the parameters of a template."""
    found, seen = [], set[str]()
    for place, parameter in enumerate(rules.parameters):
        where = f"parameters[{place}]"
        for name in ("name", "field"):
            value = getattr(parameter, name)
            if value in seen:
                found.append(engine.Problem(f"{where}.{name}", f"{value} is there twice"))
            seen.add(value)
        found += [
            engine.Problem(f"{where}.{field}", problem)
            for field, problem in _check_parameter(rules, parameter)
        ]
    return found


def _check_parameter(
    rules: campaign_pb2.CampaignRules, parameter: campaign_pb2.Parameter
) -> Iterator[tuple[str, str]]:
    spot = locate(rules, parameter.field)
    if spot is None:
        yield "field", f"the rules have no {parameter.field}"
    elif parameter.field.partition("[")[0].startswith(_RESERVED):
        yield "field", "cannot be a parameter"
    elif parameter.WhichOneof("bounds") != kind_of(spot.field):
        yield "field", f"{parameter.field} takes a {kind_of(spot.field) or 'value of another kind'}"
    elif parameter.HasField("number") and parameter.number.max > _NUMBERS[spot.field.type]:
        yield "number.max", f"must be at most {_NUMBERS[spot.field.type]}"
    elif parameter.HasField("choice"):
        choice = parameter.choice
        if choice.count_max and choice.count_max < max(choice.count_min, 1):
            yield "choice.count_max", "must not be less than count_min"
        if choice.count_min > len(choice.values):
            yield "choice.count_min", "must not be more than there are values"


def kind_of(field: descriptor.FieldDescriptor) -> str:
    """Return which bounds fit a field: `number`, `choice` or `period`; empty for none of them."""
    if field.is_repeated:
        return "choice" if field.type == descriptor.FieldDescriptor.TYPE_STRING else ""
    if field.type in _NUMBERS:
        return "number"
    is_period = field.message_type is interval_pb2.Interval.DESCRIPTOR
    return "period" if is_period else ""


def instantiate(
    template: campaign_pb2.CampaignRules,
    *,
    store_ids: Sequence[str],
    arguments: Iterable[campaign_pb2.Argument],
) -> campaign_pb2.CampaignRules:
    """Return the rules of a template for some stores, with its parameters set.

    Raises StoreOutsideTemplate, ParameterUnknown and ParameterOutOfBounds.
    """
    made = campaign_pb2.CampaignRules()
    made.CopyFrom(template)
    made.ClearField("parameters")
    parameters = {parameter.name: parameter for parameter in template.parameters}
    for argument in arguments:
        parameter = parameters.pop(argument.name, None)
        spot = None if parameter is None else locate(made, parameter.field)
        if parameter is None or spot is None:
            raise errors.ParameterUnknown(parameter=argument.name)
        _require_within(parameter, argument)
        _set(spot, argument)
    audience = template.audience
    for store_id in store_ids:
        outside = audience.store_ids and store_id not in audience.store_ids
        if outside or store_id in audience.exclude_store_ids:
            raise errors.StoreOutsideTemplate(store_id=store_id)
    del made.audience.store_ids[:]
    made.audience.store_ids.extend(sorted(store_ids))
    return made


def _set(spot: Spot, argument: campaign_pb2.Argument) -> None:
    match argument.WhichOneof("value"):
        case "number":
            setattr(spot.holder, spot.field.name, argument.number)
        case "choice":
            names = getattr(spot.holder, spot.field.name)
            del names[:]
            names.extend(argument.choice.values)
        case _:
            getattr(spot.holder, spot.field.name).CopyFrom(argument.period)


def _require_within(parameter: campaign_pb2.Parameter, argument: campaign_pb2.Argument) -> None:
    """Raise ParameterOutOfBounds with the first bound that the argument breaks."""
    wanted, sent = parameter.WhichOneof("bounds") or "", argument.WhichOneof("value") or ""
    if wanted != sent:
        raise _outside(parameter, "kind", wanted, sent)
    if wanted == "number":
        _require_number(parameter, argument.number)
    elif wanted == "choice":
        _require_choice(parameter, argument.choice.values)
    else:
        _require_period(parameter, argument.period)


def _outside(
    parameter: campaign_pb2.Parameter, bound: str, limit: str | int, value: str | int
) -> errors.ParameterOutOfBounds:
    return errors.ParameterOutOfBounds(
        parameter=parameter.name, bound=bound, limit=limit, value=value
    )


def _require_number(parameter: campaign_pb2.Parameter, value: int) -> None:
    bounds = parameter.number
    if value < bounds.min:
        raise _outside(parameter, "min", bounds.min, value)
    if value > bounds.max:
        raise _outside(parameter, "max", bounds.max, value)
    if bounds.step and (value - bounds.min) % bounds.step:
        raise _outside(parameter, "step", bounds.step, value)


def _require_choice(parameter: campaign_pb2.Parameter, values: Sequence[str]) -> None:
    bounds = parameter.choice
    known = set(bounds.values)
    for value in values:
        if value not in known:
            raise _outside(parameter, "values", ", ".join(bounds.values[:20]), value)
    if len(values) < max(bounds.count_min, 1):
        raise _outside(parameter, "count_min", max(bounds.count_min, 1), len(values))
    if bounds.count_max and len(values) > bounds.count_max:
        raise _outside(parameter, "count_max", bounds.count_max, len(values))


def _require_period(parameter: campaign_pb2.Parameter, value: interval_pb2.Interval) -> None:
    bounds, within = parameter.period, parameter.period.within
    start, end = _moment(value, "start_time"), _moment(value, "end_time")
    first, last = _moment(within, "start_time"), _moment(within, "end_time")
    too_early = first is not None and (start is None or start < first)
    too_late = last is not None and (end is None or end > last)
    if too_early or too_late:
        raise _outside(parameter, "within", _show(within), _show(value))
    if bounds.days_max and (
        start is None or end is None or end - start > timedelta(days=bounds.days_max)
    ):
        raise _outside(parameter, "days_max", bounds.days_max, _show(value))


def _moment(interval: interval_pb2.Interval, name: str) -> Any:
    if not interval.HasField(name):  # type: ignore[arg-type]
        return None
    return times.read(getattr(interval, name), field=f"arguments.period.{name}")


def _show(interval: interval_pb2.Interval) -> str:
    """Return a period like `2026-03-01T00:00:00Z/2026-04-01T00:00:00Z`, `..` for an open side."""
    sides = (
        getattr(interval, name).ToJsonString() if interval.HasField(name) else ".."
        for name in ("start_time", "end_time")
    )
    return "/".join(sides)
