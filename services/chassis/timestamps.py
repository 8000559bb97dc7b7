"""Instants on the wire: `google.protobuf.Timestamp` outside, aware `datetime` inside."""

from datetime import UTC, datetime, timedelta
from typing import overload

from google.protobuf import timestamp_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@overload
def show(value: datetime) -> timestamp_pb2.Timestamp: ...
@overload
def show(value: None) -> None: ...
def show(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    """Return the wire form of an instant; None for None, which leaves a field absent."""
    if value is None:
        return None
    since = value - _EPOCH
    return timestamp_pb2.Timestamp(
        seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000
    )


def write(target: timestamp_pb2.Timestamp, value: datetime) -> None:
    """Make a message's own field hold an instant, without a message of its own on the way."""
    since = value - _EPOCH
    target.seconds = since.days * 86_400 + since.seconds
    target.nanos = since.microseconds * 1000


def read(stamp: timestamp_pb2.Timestamp) -> datetime:
    """Return the instant in UTC, to the microsecond.

    Nanoseconds that are no part of a second, which a broken client can send, carry over. Raises
    OverflowError for years that contracts should not let through: before 1 and after 9999.
    """
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
