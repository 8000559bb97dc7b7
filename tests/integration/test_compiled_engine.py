"""The compiled engine decides what its sources decide, and goes where wheels go."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT
from tools import compiling

_LEFT = shutil.ignore_patterns(".*", "__pycache__", "*.so", "dist", "build")
_CASES = [f"tests/conformance/promotions{which}.json" for which in ("", "_own", "_peers")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of this clone with the engine compiled."""
    copy = tmp_path_factory.mktemp("compiled") / "clone"
    shutil.copytree(ROOT, copy, ignore=_LEFT)
    shutil.copy2(ROOT / ".gitignore", copy)
    try:
        compiling.build(copy)
    except compiling.NoCompilerError as problem:
        pytest.skip(str(problem))
    return copy


def _run(folder, *arguments):
    path = os.pathsep.join([str(folder), str(folder / "protos")])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "CI": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_looks_like_a_name_left_out_is_compiled(clone):
    """Rule sets are, although their module's name begins like that of the declarations."""
    made = {path.name.partition(".")[0] for path in compiling.compiled(clone)}
    assert {"evaluation", "rulesets"} <= made
    assert "expressions" not in made
    assert not [path for path in compiling.compiled(clone) if path.parent.name == "rules"]


def test_the_engines_own_tests_pass(clone):
    """Tables and properties hold for the machine code, and it is what ran."""
    form = "from services.promotions import engine as e; print(e.__file__, e.IS_COMPILED)"
    told = _run(clone, "-c", form).stdout.split()
    assert told == [str(clone / "services/promotions/engine/__init__.py"), "True"]
    done = _run(clone, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/promotions")
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("cases", _CASES)
def test_worked_cases_become_what_they_become_interpreted(clone, tmp_path, cases):
    """Verdicts, reasons and numbers of other engines' cases are the same in both forms."""

    def results(folder):
        target = tmp_path / "results.json"
        _run(folder, "-m", "tools", "conformance", "promotions", cases, "--json", str(target))
        return json.loads(target.read_text())

    assert results(clone) == results(ROOT)


def test_a_wheel_holds_the_compiled_form_and_says_for_which_python(clone, tmp_path):
    """Whoever installs it on another Python is told by pip, and not by a crash."""
    done = _run(clone, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert f"cp{sys.version_info.major}{sys.version_info.minor}" in wheel.name
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    made = {path.relative_to(clone).as_posix() for path in compiling.compiled(clone)}
    assert made <= names
    assert "services/promotions/engine/evaluation.py" in names


def test_sources_that_changed_are_refused_until_compiled_again_or_removed(clone):
    """Nobody measures or tests what he no longer reads."""
    source = clone / "services/promotions/engine/amounts.py"
    source.touch()
    try:
        refused = _run(clone, "-m", "tools", "conformance", "promotions", _CASES[1])
        assert refused.returncode == 1
        assert "python -m tools compile --remove" in refused.stderr
        tests = _run(clone, "-m", "pytest", "-q", "tests/unit/promotions/test_amounts.py")
        assert "not of these sources" in tests.stdout + tests.stderr
    finally:
        os.utime(source, (0, 0))
    assert _run(clone, "-m", "tools", "compile", "--remove").returncode == 0
    assert compiling.compiled(clone) == []
    again = _run(clone, "-m", "tools", "conformance", "promotions", _CASES[1])
    assert again.returncode == 0, again.stdout
