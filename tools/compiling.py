"""`python -m tools compile`: the evaluation of carts as machine code, beside its sources.

Python prefers an extension to the source next to it, so nothing else has to know. ADR 62 tells why
it is these modules and what it brings.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
_ENGINE = Path("services/promotions/engine")
_EVALUATION = "services.promotions.engine.evaluation"
#: What stands on a library without types, and declarations whose types are read at run time, which
#: machine code does not keep.
_LEFT = ("services.promotions.engine.expressions", "services.promotions.engine.rules")
#: All modules share one library, whose functions call each other without Python between.
_LIBRARY = "tessera_engine"
_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
# -O1 takes the compiler two thirds of the time, and evaluations a fiftieth more.
_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup

config, library, *modules = sys.argv[1:]
sys.argv[1:] = ["build_ext", "--inplace"]
flags = [f"--config-file={config}", *modules]
setup(
    name=library,
    packages=[],
    ext_modules=mypycify(flags, opt_level="2", debug_level="0", group_name=library),
)
"""

_console = Console()


class CompilingError(Exception):
    """The compiled form could not be made."""


class NoCompilerError(CompilingError):
    """This machine lacks a C compiler or Python's headers."""


def compile_engine(
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Go back to the sources.")] = False,
) -> None:
    """Compile the promotions engine to machine code, beside its sources.

    It decides the same and takes less time. Sources that changed afterwards are refused by the
    other commands and by the tests until you compile again or `--remove`. A wheel built of a
    compiled clone holds the compiled form and fits this Python on this kind of machine alone.

    Needs a C compiler and Python's headers.
    """
    if remove:
        for extension in compiled(ROOT):
            extension.unlink()
        return
    try:
        with _console.status("Compiling takes a minute or two …"):
            count = build(ROOT)
    except CompilingError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    _console.print(f"{count} modules of the engine are compiled.")


def build(tree: Path) -> int:
    """Compile the engine in a copy, put the extensions into the tree, and say how many there are.

    Raises CompilingError (NoCompilerError where none can be made), and the tree is as it was.
    """
    _require_compiler()
    modules = [path.relative_to(tree).as_posix() for path in _sources(tree)]
    with tempfile.TemporaryDirectory(prefix="tessera-compile-") as folder:
        copy = Path(folder)
        for package in (_ENGINE.parent.parent, _ENGINE.parent):
            (copy / package).mkdir()
            shutil.copy2(tree / package / "__init__.py", copy / package)
        leave = shutil.ignore_patterns("__pycache__", f"*{_SUFFIX}")
        shutil.copytree(tree / _ENGINE, copy / _ENGINE, ignore=leave)
        config = ROOT / "pyproject.toml"
        done = subprocess.run(
            [sys.executable, "-c", _SETUP, str(config), _LIBRARY, *modules],
            cwd=copy,
            # Warnings about generated C help nobody and take the compiler twice as long.
            env={**os.environ, "CFLAGS": f"{os.environ.get('CFLAGS', '')} -w"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CompilingError(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        made = [path.relative_to(copy) for path in compiled(copy)]
        for extension in compiled(tree):
            extension.unlink()
        for extension in made:
            shutil.copyfile(copy / extension, tree / extension)
    return len(made) - 1


def compiled(tree: Path) -> list[Path]:
    """Return the extensions of a tree, the library that they share first."""
    modules = sorted((tree / _ENGINE).rglob(f"*{_SUFFIX}"))
    return [*tree.glob(f"{_LIBRARY}__mypyc{_SUFFIX}"), *modules]


def require_fresh() -> None:
    """End the program when the clone's engine was compiled of other sources than it has now."""
    extensions = compiled(ROOT)
    if not extensions:
        return
    made = min(extension.stat().st_mtime for extension in extensions)
    sources = _sources(ROOT)
    changed = any(path.stat().st_mtime > made for path in sources)
    if changed or len(extensions) != 1 + len(sources):
        raise SystemExit(
            "The compiled engine is not of these sources. Compile it again with"
            " `python -m tools compile`, or go back to the sources with"
            " `python -m tools compile --remove`."
        )


def _sources(tree: Path) -> list[Path]:
    """Return what takes part in evaluating a cart: the module that does, and all it imports."""
    import grimp  # on demand: every command asks whether there is anything compiled

    graph = grimp.build_graph("services", cache_dir=None)
    names = {_EVALUATION, *graph.find_upstream_modules(_EVALUATION)}
    left = {*_LEFT, *(below for name in _LEFT for below in graph.find_descendants(name))}
    chosen = sorted(names - left)
    return [tree.joinpath(*name.split(".")).with_suffix(".py") for name in chosen]


def _require_compiler() -> None:
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if shutil.which(compiler) is None or not header.exists():
        raise NoCompilerError(
            f"Compiling needs a C compiler ({compiler}) and Python's headers ({header});"
            " on Debian: apt install gcc python3-dev."
        )
