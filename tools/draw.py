"""Check a prize draw: compute its winners again from what was published."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from services.promotions.engine import programs


def draw(
    published: Annotated[Path, typer.Argument(help="The JSON that GetDraw answers after the draw")],
    entries: Annotated[
        Path, typer.Argument(help="A line for each receipt, in order: its id, a space, its tickets")
    ],
) -> None:
    """Compute the winners of a prize draw again from its seed and its list of tickets."""
    told: dict[str, Any] = json.loads(published.read_text(encoding="utf-8"))["draw"]
    wrong = programs.verify(
        seed=told["seed"],
        sealed=told["seedHash"],
        entries=[_entry(line) for line in entries.read_text(encoding="utf-8").splitlines()],
        listed=told["listHash"],
        winners=[winner["receiptId"] for winner in told.get("winners", [])],
    )
    for problem in wrong:
        typer.echo(f"WRONG: {problem}", err=True)
    if wrong:
        raise typer.Exit(1)
    typer.echo(f"The {len(told.get('winners', []))} winners follow from the seed and the list.")


def _entry(line: str) -> programs.Entry:
    receipt_id, _, tickets = line.partition(" ")
    return programs.Entry(receipt_id, int(tickets))
