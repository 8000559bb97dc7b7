"""Settings of the ledger."""

from pydantic import Field

from services.chassis import config


class Settings(config.RoleSettings):
    """What the ledger needs besides what every role needs.

    `pace_ms` is how long a posting may wait for company while others are on their way; a lonely one
    never waits. `group_operations_max` bounds what one transaction carries.
    """

    pace_ms: int = Field(default=4, ge=0, le=100)
    group_operations_max: int = Field(default=2000, gt=0)
    sweep_interval_s: float = Field(default=30, gt=0)
    chain_interval_s: float = Field(default=1, gt=0)
    check_interval_s: float = Field(default=2, gt=0)
