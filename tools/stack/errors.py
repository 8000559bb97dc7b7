"""What can go wrong with the stack, in sentences that say what to do next."""

from pathlib import Path

_TAIL_LINES = 12
_LINE_CHARACTERS_MAX = 400  # a line of a structured log may hold a whole traceback


class StackError(Exception):
    """A sentence for the person at the terminal, and the log that explains it."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def __str__(self) -> str:
        message = super().__str__()
        if self.log is None:
            return message
        return f"{message}\n\nThe end of {self.log}:\n{tail(self.log)}"


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, indented; say so when there are none."""
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"  (cannot be read: {error.strerror})"
    return "\n".join(f"  {_shortened(line)}" for line in text.splitlines()[-lines:]) or "  (empty)"


def _shortened(line: str) -> str:
    half = _LINE_CHARACTERS_MAX // 2
    return line if len(line) <= _LINE_CHARACTERS_MAX else f"{line[:half]} … {line[-half:]}"
