"""What a wheel of a compiled clone holds besides: hatchling asks here."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHook(BuildHookInterface[Any]):
    """Puts extensions into the wheel, which then fits this Python on this kind of machine alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add what `python -m tools compile` made; an editable installation finds it in place."""
        root = Path(self.root)
        made = [*root.glob("*.so"), *(root / "services").rglob("*.so")]
        if version == "editable" or not made:
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in made:
            build_data["force_include"][str(path)] = path.relative_to(root).as_posix()
