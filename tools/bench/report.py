"""What a bench prints and writes."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.table import Table

from tools.bench import load

#: Where there is no terminal, in characters.
_WIDTH = 110


def show(console: Console, measurements: Sequence[load.Measurement]) -> None:
    """Print one row per measurement: rate, ratio to the no-op of the same round, latencies."""
    table = Table(title="Medians over the rounds; ratios are taken inside each round")
    for column in ("call", "in flight", "per s", "of no-op", "p50 ms", "p90 ms", "p99 ms"):
        justify: JustifyMethod = "left" if column == "call" else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    for one in measurements:
        table.add_row(
            one.name,
            str(one.in_flight),
            f"{one.rate:,.0f}",
            f"{one.ratio:.2f}",
            *(f"{one.percentile_ms(share):.2f}" for share in (0.5, 0.9, 0.99)),
        )
    # A figure that is cut is no figure: a log has room that it does not tell of.
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(table)


def write(path: Path, measurements: Sequence[load.Measurement]) -> None:
    """Write the same figures as JSON."""
    document = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "measurements": [
            {
                "name": one.name,
                "in_flight": one.in_flight,
                "per_second": round(one.rate, 1),
                "ratio_to_noop": round(one.ratio, 4),
                "latency_ms": {
                    f"p{int(share * 100)}": round(one.percentile_ms(share), 3)
                    for share in (0.5, 0.9, 0.99)
                },
            }
            for one in measurements
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
