"""Time as an argument: whatever needs the time of day takes a Clock."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)
