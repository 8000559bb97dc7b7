"""Developer commands: `python -m tools COMMAND`, listed by `python -m tools --help`."""

import importlib
import sys
from dataclasses import dataclass

import typer

from tools import compiling


@dataclass(frozen=True)
class _Command:
    """Where a command lives: a Typer application or a plain function, and its line in the list."""

    module: str
    attribute: str
    summary: str


_COMMANDS = {
    "stack": _Command("tools.stack.commands", "app", "Run the whole platform on this machine."),
    "generate": _Command("tools.commands", "generate", "Generate the stubs from protos/."),
    "contracts": _Command(
        "tools.commands",
        "write_contracts",
        "Write all contracts into one file, for other languages.",
    ),
    "permissions": _Command(
        "tools.permissions", "permissions", "Write down who may call what, from the contracts."
    ),
    "example": _Command(
        "tools.example.command", "example", "Load a small shop, for the calls in the guides."
    ),
    "demo": _Command(
        "tools.demo.command", "demo", "Replay a real chain's year and prove every total."
    ),
    "bench": _Command(
        "tools.bench.command", "bench", "Measure against a no-op RPC in the same run."
    ),
    "campaigns": _Command(
        "tools.campaigns.command", "app", "Write, try, compare and apply campaigns as files."
    ),
    "conformance": _Command(
        "tools.conformance.command", "app", "Hold worked cases of other engines against ours."
    ),
    "ledger": _Command("tools.ledger.command", "app", "Look after a ledger: prove it, feed it."),
    "receipts": _Command(
        "tools.receipts.command", "app", "Find receipts, explain them, decide them again."
    ),
    "draw": _Command("tools.draw", "draw", "Check a prize draw by what was published of it."),
    "instant-win": _Command(
        "tools.instant_win", "instant_win", "Check chances of winning by what was published."
    ),
    "simulate": _Command(
        "tools.simulation.command", "simulate", "Replay receipts against a draft, before launch."
    ),
    "compile": _Command(
        "tools.compiling", "compile_engine", "Compile the promotions engine to machine code."
    ),
    "check": _Command("tools.check", "check", "Check style, types, layers and contracts."),
}


def compose(chosen: str | None) -> typer.Typer:
    """Return the application; only the chosen command's module is imported, as some are heavy."""
    application = typer.Typer(
        name="python -m tools",
        help="Tessera's developer commands.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",  # paragraphs of docstrings flow
        pretty_exceptions_show_locals=False,
    )
    application.callback()(_accept)
    for name, command in _COMMANDS.items():
        if name != chosen:
            application.command(name, help=command.summary)(_accept)
            continue
        target = getattr(importlib.import_module(command.module), command.attribute)
        if isinstance(target, typer.Typer):
            application.add_typer(target, name=name)
        else:
            application.command(name)(target)
    return application


def _accept() -> None:
    """Stand for a command that was not chosen, and for the options that precede all of them."""


def main() -> None:
    """Run the command named first on the command line."""
    chosen = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if chosen not in {"compile", "generate"}:
        compiling.require_fresh()
    compose(chosen)(prog_name="python -m tools")


if __name__ == "__main__":
    main()
