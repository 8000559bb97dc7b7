"""How these commands are called from where the reader stands."""

import shutil
import sys
from pathlib import Path


def command(arguments: str) -> str:
    """Return a command line of `python -m tools` that works as it is printed."""
    return f"{_python()} -m tools {arguments}"


def _python() -> str:
    """Return the running interpreter as one types it: by name when the path leads to it."""
    running = Path(sys.executable)
    found = shutil.which("python")
    if found is not None and Path(found) == running:
        return "python"
    here = Path.cwd()
    return str(running.relative_to(here) if running.is_relative_to(here) else running)
