"""Instants that callers send."""

from datetime import UTC, datetime, timedelta

from google.protobuf import timestamp_pb2

from services.chassis import errors as chassis_errors
from services.chassis import timestamps
from services.promotions import errors

_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


def read(stamp: timestamp_pb2.Timestamp, *, field: str) -> datetime:
    """Return the instant in UTC, to the microsecond.

    Raises InvalidRequest for what no clock of a shop can show.
    """
    try:
        moment = timestamps.read(stamp)
    except OverflowError:
        moment = _LAST
    if not _FIRST <= moment < _LAST:
        problem = "must lie between the years 2000 and 2199"
        raise chassis_errors.InvalidRequest(
            [chassis_errors.FieldViolation(field, problem, "time.range")]
        )
    return moment


def require_past(
    stamp: timestamp_pb2.Timestamp, *, field: str, now: datetime, ahead_max: timedelta
) -> None:
    """Raise OccurredInFuture for what lies further ahead than tills' clocks may go wrong."""
    ahead = read(stamp, field=field) - now
    if ahead > ahead_max:
        raise errors.OccurredInFuture(ahead_s=int(ahead.total_seconds()))
