"""What a supervisor has to know to run one process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.stack.account import Account


@dataclass(frozen=True, kw_only=True)
class Program:
    """One long-running process of the stack.

    `priority` orders the start, each waiting for those before it, and in reverse the stop; equals
    go together. `stop_wait_s` is how long it may take to finish its work before it is killed.
    """

    name: str
    command: tuple[str, ...]
    directory: Path
    priority: int
    account: Account | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_wait_s: int = 30
