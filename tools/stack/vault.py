"""Secrets made once and kept in files that only their owner can read."""

import base64
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_BYTES = 32


@dataclass(frozen=True)
class Vault:
    """A folder of secrets."""

    directory: Path

    def file(self, name: str) -> Path:
        """Return the file of a password or a client's secret; the first call makes it."""
        return self._made(name, lambda: secrets.token_urlsafe(_BYTES))

    def key(self, name: str) -> Path:
        """Return the file of a key: 32 random bytes as base64; the first call makes it."""
        return self._made(name, lambda: base64.b64encode(secrets.token_bytes(_BYTES)).decode())

    def read(self, name: str) -> str:
        """Return a secret; the first call makes it."""
        return self.file(name).read_text(encoding="utf-8")

    def _made(self, name: str, make: Callable[[], str]) -> Path:
        path = self.directory / name
        if path.exists():
            return path
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(make())
        return partial.rename(path)
