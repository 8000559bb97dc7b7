"""Settings of the ledger."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from services.chassis import attempts, config


class Settings(config.RoleSettings):
    """What the ledger needs besides what every role needs.

    `pace_ms` is how long a posting may wait for company while others are on their way; a lonely one
    never waits. `group_operations_max` bounds what one transaction carries.
    `code_key_file` holds keys of 32 random bytes as base64, one a line: codes are issued under the
    first and recognised under all. Without it there are no gift cards and no coupon codes, and
    without a key that codes were issued under there are none either.
    Whoever presents `code_failures_burst` unknown codes waits `code_failure_interval_s` for each
    further one.
    `adjustment_days` is how long a correction waits for approval.
    """

    pace_ms: int = Field(default=4, ge=0, le=100)
    group_operations_max: int = Field(default=2000, gt=0)
    sweep_interval_s: float = Field(default=30, gt=0)
    chain_interval_s: float = Field(default=1, gt=0)
    check_interval_s: float = Field(default=2, gt=0)
    adjustment_days: int = Field(default=14, ge=1, le=365)
    code_key_file: Path | None = None
    code_failures_burst: int = Field(default=10, gt=0)
    code_failure_interval_s: int = Field(default=6, gt=0)

    @property
    def code_attempts_max(self) -> attempts.Limit:
        """How many unknown codes are too many."""
        return attempts.Limit(
            burst=self.code_failures_burst, interval=timedelta(seconds=self.code_failure_interval_s)
        )
