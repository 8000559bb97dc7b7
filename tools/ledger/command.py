"""`python -m tools ledger`: one command of each module that has something to do with a ledger."""

import logging
import sys

import structlog
import typer

from tools.ledger import checking, importing, liability, verifying

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def ledger() -> None:
    """Look after a ledger, on the database and the Valkey that its settings name."""
    # Results go to stdout alone, and only what somebody has to know of goes to stderr.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )


app.command()(checking.check)
app.command()(verifying.verify)
app.command()(liability.liability)
app.command("import")(importing.import_transfers)
