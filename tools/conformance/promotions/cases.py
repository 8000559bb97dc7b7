"""Files of cases: `{"about": …, "cases": [{id, campaigns, cart, expected, …}, …]}` or the list."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.conformance.promotions.words import Plain


class FileUnreadable(ValueError):  # noqa: N818  an answer, not a fault
    """Says why a file is no file of cases."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case as it is written; `fidelity` says how sure its numbers are."""

    case_id: str
    title: str
    fidelity: str
    plain: Plain

    def part(self, name: str) -> Any:
        """Return a part such as `cart`, None when it is not there."""
        return self.plain.get(name)


def read_file(path: Path) -> list[Case]:
    """Return the cases of a file in their order; raises FileUnreadable."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise FileUnreadable(f"{path}: {problem}") from problem
    listed = content.get("cases") if isinstance(content, Mapping) else content
    if not isinstance(listed, list) or not listed:
        raise FileUnreadable(f"{path}: there is no list `cases`")
    return [_read(plain, place) for place, plain in enumerate(listed, 1)]


def _read(plain: object, place: int) -> Case:
    if not isinstance(plain, Mapping):
        return Case(f"#{place}", "", "unknown", {})
    return Case(
        case_id=str(plain.get("id") or f"#{place}"),
        title=str(plain.get("title") or ""),
        fidelity=str(plain.get("fidelity") or "unknown"),
        plain=plain,
    )
