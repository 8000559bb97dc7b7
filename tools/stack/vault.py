"""Secrets made once and kept in files that only their owner can read."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

_BYTES = 24


@dataclass(frozen=True)
class Vault:
    """A folder of secrets."""

    directory: Path

    def file(self, name: str) -> Path:
        """Return the file of a secret; the first call makes the secret."""
        path = self.directory / name
        if not path.exists():
            self._write(path, secrets.token_urlsafe(_BYTES))
        return path

    def read(self, name: str) -> str:
        """Return a secret; the first call makes it."""
        return self.file(name).read_text(encoding="utf-8")

    def keep(self, name: str, value: str) -> Path:
        """Store a secret that somebody else chose, and return its file."""
        path = self.directory / name
        self._write(path, value)
        return path

    def _write(self, path: Path, value: str) -> None:
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value)
        partial.rename(path)
