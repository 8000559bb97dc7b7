"""The record of a stack: what was started, and where it answers."""

import json
from dataclasses import asdict, dataclass
from typing import Self

from tools.stack import ports
from tools.stack.layout import Layout


@dataclass(frozen=True, kw_only=True)
class State:
    """What `stack.json` holds: ports by name, and the programs with their priorities."""

    ports: dict[str, int]
    programs: dict[str, int]

    @classmethod
    def load(cls, layout: Layout) -> Self | None:
        """Return the record of the last start, or None when there was none."""
        try:
            return cls(**json.loads(layout.state.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def save(self, layout: Layout) -> None:
        """Write the record, whole or not at all."""
        partial = layout.state.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.rename(layout.state)

    def address(self, name: str) -> str:
        """Return `host:port` of a named port."""
        return f"{ports.HOST}:{self.ports[name]}"
