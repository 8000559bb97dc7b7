"""Run roles, or bring their schemas up to date: `python -m services ledger`."""

import argparse
import asyncio
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from services import roles
from services.chassis import config, errors, migrations, telemetry


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code of the process."""
    command = _parser().parse_args(arguments)
    names: list[str] = command.names
    is_migration = names[0] == "migrate"
    chosen = names[1:] if is_migration else names
    unknown = [name for name in chosen if name not in roles.ROLES]
    if unknown or not chosen:
        known = ", ".join(roles.ROLES)
        return _fail(
            f"{unknown[0] if unknown else 'Nothing'} is not a role; the roles are {known}."
        )
    try:
        settings = {name: _settings(name, command.config) for name in chosen}
        telemetry.setup("+".join(chosen), settings[chosen[0]].telemetry)
        if is_migration:
            uvloop.run(_migrate(settings, command.phase))
        else:
            uvloop.run(_run(settings))
    except (config.ConfigError, migrations.MigrationError) as error:
        return _fail(str(error))
    except errors.Unavailable as error:
        return _fail(f"{error} Nothing was changed.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    parser.add_argument(
        "names",
        nargs="+",
        metavar="role",
        help=f"one or more of {', '.join(roles.ROLES)}; after the word `migrate`, apply migrations",
    )
    parser.add_argument("--config", type=Path, help="settings file (YAML)")
    parser.add_argument(
        "--phase", choices=("pre", "post"), help="migrate: `pre` leaves out trailing post files"
    )
    return parser


def _settings(role: str, path: Path | None) -> config.RoleSettings:
    module = importlib.import_module(f"{roles.ROLES[role]}.config")
    settings: config.RoleSettings = config.load(
        module.Settings, role, path, sections=roles.SECTIONS
    )
    return settings


async def _run(settings: dict[str, config.RoleSettings]) -> None:
    mains = {name: importlib.import_module(f"{roles.ROLES[name]}.main") for name in settings}
    await asyncio.gather(*(mains[name].main(values) for name, values in settings.items()))


async def _migrate(
    settings: dict[str, config.RoleSettings], phase: migrations.Phase | None
) -> None:
    for role, values in settings.items():
        package = importlib.import_module(roles.ROLES[role])
        directory = Path(next(iter(package.__path__))) / "migrations"
        applied = await migrations.apply(values.database, directory, phase=phase)
        sys.stdout.write(f"{role}: {', '.join(applied) or 'at head'}\n")


def _fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
