"""Instants that callers send."""

from datetime import UTC, datetime

from google.protobuf import timestamp_pb2

from services.chassis import errors, timestamps

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
        raise errors.InvalidRequest(
            [errors.FieldViolation(field, "must lie between the years 2000 and 2199", "time.range")]
        )
    return moment
