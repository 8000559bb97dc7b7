"""Check a prize draw: compute its winners again from what was published."""

from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from tessera.promotions.v1 import draw_service_pb2

from services.promotions.engine import programs


def draw(
    published: Annotated[Path, typer.Argument(help="The JSON that GetDraw answers after the draw")],
    entries: Annotated[
        Path, typer.Argument(help="A line for each receipt, in order: its id, a space, its tickets")
    ],
) -> None:
    """Compute the winners of a prize draw again from its seed and its list of tickets."""
    answer = draw_service_pb2.GetDrawResponse()
    told = json_format.Parse(published.read_text(encoding="utf-8"), answer).draw
    wrong = programs.verify(
        seed=told.seed,
        sealed=told.seed_hash,
        entries=[_entry(line) for line in entries.read_text(encoding="utf-8").splitlines()],
        listed=told.list_hash,
        winners=[winner.receipt_id for winner in told.winners],
    )
    for problem in wrong:
        typer.echo(f"WRONG: {problem}", err=True)
    if wrong:
        raise typer.Exit(1)
    typer.echo(f"The {len(told.winners)} winners follow from the seed and the list.")


def _entry(line: str) -> programs.Entry:
    receipt_id, _, tickets = line.partition(" ")
    return programs.Entry(receipt_id, int(tickets))
