"""Refusals: the only exceptions that a caller of a service gets to read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from string import Formatter
from typing import ClassVar


class Category(IntEnum):
    """What kind of refusal it is; the values are the status codes of gRPC."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


#: Refusals of these kinds say nothing about the request itself: the same call may pass later.
TRANSIENT = frozenset(
    {
        Category.UNAVAILABLE,
        Category.DEADLINE_EXCEEDED,
        Category.ABORTED,
        Category.RESOURCE_EXHAUSTED,
    }
)


class Refusal(Exception):  # noqa: N818  a refusal is an answer, not a fault
    """The service refused."""

    category: ClassVar[Category] = Category.UNKNOWN
    reason: ClassVar[str] = ""
    domain: ClassVar[str] = "tessera"
    #: How long the caller should wait before it tries again; None leaves that to its own policy.
    retry_delay_ms: ClassVar[int | None] = None

    _template: ClassVar[str] = "The service refused."
    _names: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__doc__ is None:
            return
        cls._template = re.sub(r"\s+", " ", cls.__doc__.strip())
        names = (name for _, name, _, _ in Formatter().parse(cls._template) if name is not None)
        cls._names = frozenset(names)

    def __init__(self, **fields: str | int) -> None:
        missing = self._names - fields.keys()
        if missing:
            raise TypeError(f"{type(self).__name__} needs {', '.join(sorted(missing))}")
        self.fields = fields
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The docstring of the class with the fields filled in."""
        return self._template.format(**self.fields)

    @property
    def metadata(self) -> dict[str, str]:
        """The fields as text, as they travel in ErrorInfo."""
        return {name: str(value) for name, value in self.fields.items()}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.fields == getattr(other, "fields", None)

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.fields.items()))))


class Unauthenticated(Refusal):
    """The call carries no valid access token: {problem}."""

    category = Category.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(Refusal):
    """The token does not carry the scope {scope}."""

    category = Category.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class DeadlineTooShort(Refusal):
    """Only {remaining_ms} ms remain before the deadline, at least {needed_ms} ms are needed."""

    category = Category.DEADLINE_EXCEEDED
    reason = "DEADLINE_TOO_SHORT"


class DeadlineExceeded(Refusal):
    """The deadline passed before the work was done; it may have taken effect."""

    category = Category.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Overloaded(Refusal):
    """The service has more calls than it can answer in time; try again later."""

    category = Category.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"
    retry_delay_ms = 250


class Unavailable(Refusal):
    """A part that the service needs cannot be reached: {dependency}."""

    category = Category.UNAVAILABLE
    reason = "UNAVAILABLE"


class Contention(Refusal):
    """Other work on the same data got in the way; the call changed nothing and may be repeated."""

    category = Category.ABORTED
    reason = "CONTENTION"


class Internal(Refusal):
    """Internal error."""

    category = Category.INTERNAL
    reason = "INTERNAL"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One broken rule of a request: the path of the field, the sentence, the id of the rule."""

    field: str
    description: str
    rule: str = ""


class InvalidRequest(Refusal):
    """The request is not valid: {problem}."""

    category = Category.INVALID_ARGUMENT
    reason = "INVALID_REQUEST"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        first = self.violations[0] if self.violations else FieldViolation("", "it breaks a rule")
        problem = f"{first.field}: {first.description}" if first.field else first.description
        super().__init__(problem=problem, violation_count=len(self.violations))
