"""Servers that somebody else runs: named in a file, used in place of the embedded ones."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tools.stack import postgres
from tools.stack.errors import StackError


class _Server(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str


class External(BaseModel):
    """What the file may name; a server that it does not name is started here."""

    model_config = ConfigDict(extra="forbid")

    postgres: _Server | None = None
    valkey: _Server | None = None


def load(path: Path | None) -> External:
    """Read the file of external servers; no file means that none is external."""
    if path is None:
        return External()
    try:
        return External(**(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise StackError(f"{path} must hold postgres.url, valkey.url or both: {error}") from error


def postgres_endpoint(servers: External) -> postgres.Endpoint | None:
    """Return the PostgreSQL server and the administrator who may create databases on it."""
    if servers.postgres is None:
        return None
    url = urlsplit(servers.postgres.url)
    if url.scheme not in {"postgres", "postgresql"} or not url.hostname or not url.username:
        raise StackError(
            "postgres.url must look like postgresql://administrator:password@host:5432"
        )
    return postgres.Endpoint(
        host=url.hostname,
        port=url.port or 5432,
        user=unquote(url.username),
        password=unquote(url.password or ""),
    )
