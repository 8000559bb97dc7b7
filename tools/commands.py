"""Commands too small for a module of their own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools import contracts


def generate() -> None:
    """Generate the Python stubs and descriptor sets from the contracts in protos/."""
    Console().print(f"{contracts.generate()} contracts compiled into {contracts.PROTOS}")


def write_contracts(
    target: Annotated[Path, typer.Argument(help="The file, a descriptor set.", dir_okay=False)],
) -> None:
    """Write all contracts, their comments and whatever they import into one file.

    `buf` and `protoc` make stubs for any language of it, and need nothing else.
    """
    try:
        contracts.compile_image(target)
    except (contracts.GenerationError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    Console().print(f"{len(contracts.sources())} contracts written to {target}")
