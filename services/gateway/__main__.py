"""Render, validate or run the gateway: `python -m services.gateway COMMAND`."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from services.gateway import config, contracts, envoy, render
from services.gateway.typed import Node


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = config.load(options.config)
        source = contracts.load()
        configuration = render.render(source, settings)
        for role in render.unserved(source, settings):
            sys.stderr.write(f"gateway.upstreams.{role} is missing: its methods are not served.\n")
        _execute(options, configuration)
    except (config.ConfigError, contracts.ContractError, envoy.ConfigurationRefused) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _execute(options: argparse.Namespace, configuration: Node) -> None:
    if options.command == "validate":
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "envoy.yaml"
            render.write(configuration, path)
            envoy.validate(path)
        return
    if options.output is None:
        sys.stdout.write(render.text(configuration))
        return
    render.write(configuration, options.output)
    if options.command == "run":
        command = envoy.command(options.output, concurrency=options.concurrency)
        os.execv(command[0], command)  # noqa: S606  the gateway becomes Envoy


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("render", "write Envoy's configuration"),
        ("validate", "ask Envoy whether it accepts the configuration"),
        ("run", "write the configuration, then become Envoy"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--config", type=Path, default=None, help="the settings file")
        if name != "validate":
            command.add_argument(
                "--output", type=Path, required=name == "run", help="the file to write"
            )
        if name == "run":
            command.add_argument(
                "--concurrency", type=int, default=0, help="threads; 0 means one for each core"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
