"""Stacks of their own, driven by the command line as a person would."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.stack import layout, lifecycle
from tools.stack.layout import ROOT, Layout

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place() -> Iterator[Layout]:
    """Name a data folder that does not exist yet; whatever was started in it is stopped."""
    parent = Path(tempfile.mkdtemp(prefix="tessera-"))
    parent.chmod(0o711)
    made = layout.at(parent / "data")
    yield made
    if made.lock.exists():
        lifecycle.delete(made)
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def command(place: Layout) -> Command:
    """Return `command("up", "--detach")`: it runs to its end, with text output."""

    def run(verb: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "tools", "stack", verb, "--data", str(place.root), *arguments],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200"},
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run
