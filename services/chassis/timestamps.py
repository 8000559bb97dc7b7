"""Instants on the wire: `google.protobuf.Timestamp` outside, aware `datetime` inside."""

from datetime import UTC, datetime
from typing import overload

from google.protobuf import timestamp_pb2


@overload
def show(value: datetime) -> timestamp_pb2.Timestamp: ...
@overload
def show(value: None) -> None: ...
def show(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    """Return the wire form of an instant; None for None, which leaves a field absent."""
    if value is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp


def read(stamp: timestamp_pb2.Timestamp) -> datetime:
    """Return the instant in UTC, to the microsecond."""
    return stamp.ToDatetime(tzinfo=UTC)
