"""Run roles: `python -m services ledger`. Or look after them: `migrate` and `letters`."""

import argparse
import asyncio
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from services import roles
from services.chassis import (
    config,
    errors,
    hotstore,
    migrations,
    outbox,
    status,
    streams,
    telemetry,
)

_USAGE = """
  python -m services ROLE [ROLE ...]    run roles in this process
  python -m services migrate ROLE ...   bring the schemas of roles up to date
  python -m services letters ROLE       list the events of a role that a consumer could not handle
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code of the process: 2 for a mistake in the input."""
    command = _parser().parse_args(arguments)
    verb = command.words[0] if command.words[0] in {"migrate", "letters"} else "run"
    chosen = command.words if verb == "run" else command.words[1:]
    unknown = [name for name in chosen if name not in roles.ROLES]
    if unknown or not chosen:
        name = unknown[0] if unknown else "Nothing"
        return _fail(f"{name} is not a role; the roles are {', '.join(roles.ROLES)}.")
    try:
        settings = {name: _settings(name, command.config) for name in chosen}
        telemetry.setup("+".join(chosen), settings[chosen[0]].telemetry)
        if verb == "migrate":
            uvloop.run(_migrate(settings, command.phase))
        elif verb == "letters":
            uvloop.run(_show_letters(settings, command.replay))
        else:
            uvloop.run(_run(settings))
    except (config.ConfigError, migrations.MigrationError) as error:
        return _fail(str(error))
    except (errors.Unavailable, *hotstore.FAILURES) as error:
        return _fail(str(status.explain(error)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services",
        usage=_USAGE,
        description=f"The roles are {', '.join(roles.ROLES)}.",
    )
    parser.add_argument("words", nargs="+", metavar="ROLE", help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, help="settings file (YAML)")
    parser.add_argument(
        "--phase", choices=("pre", "post"), help="migrate: `pre` leaves out trailing post files"
    )
    parser.add_argument(
        "--replay", metavar="LETTER", help="letters: send this one back to its group, or `all`"
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


async def _show_letters(settings: dict[str, config.RoleSettings], replay: str | None) -> None:
    for role, values in settings.items():
        stream = outbox.stream(role)
        async with hotstore.Hotstore.open(values.hotstore) as store:
            if replay == "all":
                count = await streams.replay_all(store, stream)
                sys.stdout.write(f"{stream}: {count} sent back\n")
            elif replay is not None:
                is_found = await streams.replay(store, stream, replay)
                sys.stdout.write(f"{stream}: {'sent back' if is_found else 'no such letter'}\n")
            else:
                for letter in await streams.dead_letters(store, stream):
                    sys.stdout.write(f"{_line(letter)}\n")


def _line(letter: streams.DeadLetter) -> str:
    when = letter.bury_time.isoformat(timespec="seconds")
    what = f"{letter.letter_id}  {when}  {letter.group}  {letter.event_id}"
    return f"{what}  after {letter.deliveries} tries: {letter.error}"


def _fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
