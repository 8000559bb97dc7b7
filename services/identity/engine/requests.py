"""Requests that may be repeated: the same one gets the first answer, a changed one gets none."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.identity import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: who named it, and a fingerprint of each field that was set.

    `fields` names every field of the request in the contract's order.
    """

    client_id: str
    method: str
    request_id: str
    fields: tuple[str, ...]
    fingerprints: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request that was answered before; the answer is None once its member was forgotten."""

    fingerprints: Mapping[str, str]
    answer: bytes | None


def repeat(answered: Answered, request: Request) -> bytes:
    """Return the first answer.

    Raises RequestConflict with the first field that differs, MemberNotFound for a forgotten answer.
    """
    field = first_difference(answered.fingerprints, request.fingerprints, fields=request.fields)
    if field is not None:
        raise errors.RequestConflict(field=field)
    if answered.answer is None:
        raise errors.MemberNotFound
    return answered.answer


def first_difference(
    stored: Mapping[str, str], given: Mapping[str, str], *, fields: tuple[str, ...]
) -> str | None:
    """Return the first field in which two requests differ; None when they are the same.

    A field that was left out equals one that an older contract did not have.
    """
    return next((name for name in fields if stored.get(name) != given.get(name)), None)
