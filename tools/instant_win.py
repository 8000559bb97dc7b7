"""Check chances of winning at once: draw every one of them again from what was published."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from tessera.promotions.v1 import checkout_pb2, instant_win_service_pb2

from services.chassis import timestamps
from services.promotions import engine

_GIVEN = frozenset({checkout_pb2.INSTANT_DRAW_STATE_WON, checkout_pb2.INSTANT_DRAW_STATE_WITHDRAWN})


def instant_win(
    published: Annotated[
        Path, typer.Argument(help="The JSON that GetInstantWin answers a day after the period")
    ],
    pages: Annotated[
        list[Path], typer.Argument(help="The JSON of each page that ListInstantDraws answers")
    ],
) -> None:
    """Draw the chances of a campaign again from its seed, and hold them against what was told."""
    answer = instant_win_service_pb2.GetInstantWinResponse()
    sealed = json_format.Parse(published.read_text(encoding="utf-8"), answer).instant_win
    if not sealed.seed:
        raise typer.BadParameter(f"the seed is told from {sealed.tell_time.ToJsonString()} on")
    told = [one for page in pages for one in _read(page)]
    wrong = engine.instant_wins.verify(
        seed=bytes.fromhex(sealed.seed), sealed=sealed.seal, text=sealed.terms, told=told
    )
    for problem in wrong:
        typer.echo(f"WRONG: {problem}", err=True)
    if wrong:
        raise typer.Exit(1)
    prizes = sum(one.given for one in told)
    typer.echo(f"All {len(told)} chances follow from the seed; {prizes} prizes were given.")


def _read(page: Path) -> Iterator[engine.instant_wins.Told]:
    answer = instant_win_service_pb2.ListInstantDrawsResponse()
    for receipt in json_format.Parse(page.read_text(encoding="utf-8"), answer).receipts:
        for draw in receipt.draws:
            yield engine.instant_wins.Told(
                receipt.receipt_id,
                timestamps.read(receipt.record_time),
                draw.number,
                draw.prize_index if draw.prize_index >= 0 else None,
                given=draw.state in _GIVEN,
                gone=draw.state == checkout_pb2.INSTANT_DRAW_STATE_GONE,
            )
