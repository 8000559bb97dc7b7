"""Which ledger a command is about: the one that a settings file describes."""

from pathlib import Path
from typing import Annotated

import typer

from services import roles
from services.chassis import config
from services.ledger.config import Settings
from tools.stack import layout

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The settings file of the installation; that of the stack in the clone by default.",
        envvar="TESSERA_CONFIG",
    ),
]


def settings(file: Path | None) -> Settings:
    """Return the ledger's settings, as the ledger itself reads them.

    Raises typer.BadParameter with one sentence when they cannot be used.
    """
    path = file or layout.at(None).settings
    try:
        return config.load(Settings, "ledger", path, sections=roles.SECTIONS)
    except config.ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--config") from None
