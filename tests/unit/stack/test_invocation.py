"""Hints that can be typed as they are printed."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tools import invocation


@pytest.mark.parametrize("place", ["clone", "elsewhere"])
def test_a_hint_runs_where_it_is_printed(monkeypatch, tmp_path, place):
    """From the clone by a relative path, from elsewhere by the whole one, never by a bare name."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    if place == "elsewhere":
        monkeypatch.chdir(tmp_path)
    python, *rest = shlex.split(invocation.command("stack status"))
    assert rest == ["-m", "tools", "stack", "status"]
    assert (Path.cwd() / python).samefile(sys.executable)
    done = subprocess.run(
        [python, *rest, "--help"], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_an_activated_environment_is_called_by_name(monkeypatch):
    """Who has it on the path need not type more."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert invocation.command("demo") == "python -m tools demo"
