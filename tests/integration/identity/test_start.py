"""How identity starts, what stops it, and that it runs as a process of its own."""

import asyncio
import base64
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis import config, migrations
from services.identity import main
from services.identity.config import ClientSettings
from tools.stack import ports

ROOT = Path(migrations.__file__).resolve().parents[2]
START_S_MAX = 30


async def grant(settings: Any, client_id: str, secret: str) -> int:
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": secret,
    }
    url = f"http://127.0.0.1:{settings.http.port}/oauth2/token"
    async with aiohttp.ClientSession() as http, http.post(url, data=form) as response:
        return response.status


def client(folder: Path, name: str, **fields: Any) -> tuple[ClientSettings, str]:
    secret = secrets.token_urlsafe(32)
    file = folder / f"{name}-{secrets.token_hex(4)}"
    file.write_text(f"{secret}\n")
    defaults = {"client_id": name, "secret_file": file, "scopes": ("checkout",)}
    return ClientSettings(**{**defaults, **fields}), secret


async def test_clients_of_the_settings_exist_from_the_start(
    empty_database: tuple[Any, Any],
    make_settings: Callable[..., Any],
    run_identity: Any,
    tmp_path: Path,
) -> None:
    """They have the scopes that their patterns stand for, and starting again changes nothing."""
    made, db = empty_database
    till, secret = client(
        tmp_path, "pos-demo", scopes=("ledger.*", "members.context"), store_ids=("s-1",)
    )
    for _ in range(2):
        settings = make_settings(made, clients=(till,))
        async with run_identity(settings):
            assert await grant(settings, "pos-demo", secret) == 200
    row = await db.fetchrow("SELECT scopes, store_ids FROM clients")
    assert row["scopes"] == ["ledger.post", "ledger.read", "members.context"]
    assert row["store_ids"] == ["s-1"]
    acts = await db.fetch("SELECT client_id, action, subject_id FROM audit_entries")
    assert [tuple(act) for act in acts] == [("identity", "client.install", "pos-demo")]


async def test_changed_secret_file_works_beside_the_old_one_for_a_while(
    empty_database: tuple[Any, Any],
    make_settings: Callable[..., Any],
    run_identity: Any,
    tmp_path: Path,
) -> None:
    """Programs change over one by one; rights follow the settings at once; a revocation stays."""
    made, db = empty_database
    before, old = client(tmp_path, "pos-demo")
    after, new = client(tmp_path, "pos-demo", scopes=("members.lookup",))
    async with run_identity(make_settings(made, clients=(before,))):
        pass
    settings = make_settings(made, clients=(after,))
    async with run_identity(settings):
        assert [await grant(settings, "pos-demo", secret) for secret in (old, new)] == [200, 200]
    settings = make_settings(made, clients=(before,), secret_overlap_s=0)
    async with run_identity(settings):
        assert [await grant(settings, "pos-demo", secret) for secret in (old, new)] == [200, 401]
    await db.execute("UPDATE clients SET state = 'revoked', revoke_time = now()")
    settings = make_settings(made, clients=(before,))
    async with run_identity(settings):
        assert await grant(settings, "pos-demo", old) == 401


async def test_processes_started_together_install_the_clients_once(
    empty_database: tuple[Any, Any],
    make_settings: Callable[..., Any],
    run_identity: Any,
    tmp_path: Path,
) -> None:
    """Three identities on one database agree on keys and clients."""
    made, db = empty_database
    till, secret = client(tmp_path, "pos-demo")
    all_settings = [make_settings(made, clients=(till,)) for _ in range(3)]
    runs = [run_identity(settings) for settings in all_settings]
    await asyncio.gather(*(run.__aenter__() for run in runs))
    try:
        statuses = [await grant(settings, "pos-demo", secret) for settings in all_settings]
        assert statuses == [200, 200, 200]
    finally:
        for run in runs:
            await run.__aexit__(None, None, None)
    assert await db.fetchval("SELECT count(*) FROM signing_keys") == 1
    assert await db.fetchval("SELECT count(*) FROM client_secrets") == 1
    assert await db.fetchval("SELECT count(*) FROM audit_entries") == 1


async def test_wrong_settings_stop_the_start_with_one_sentence(
    empty_database: tuple[Any, Any],
    make_settings: Callable[..., Any],
    run_identity: Any,
    tmp_path: Path,
) -> None:
    """Each names what is wrong, before anybody is answered."""
    made, _ = empty_database
    async with run_identity(make_settings(made)):
        pass
    short = tmp_path / "short"
    short.write_text("hunter2")
    other = tmp_path / "other"
    other.write_text(base64.b64encode(bytes(32)).decode())
    misspelt, _ = client(tmp_path, "pos-demo", scopes=("ledgers.*",))
    weak, _ = client(tmp_path, "pos-demo", secret_file=short)
    absent, _ = client(tmp_path, "pos-demo", secret_file=tmp_path / "absent")
    for overrides, sentence in (
        ({"clients": (misspelt,)}, "asks for ledgers.*"),
        ({"clients": (weak,)}, "at least 32 characters"),
        ({"clients": (absent,)}, "cannot be read"),
        ({"master_key_file": short}, "must hold 32 bytes"),
        ({"master_key_file": other}, "another key than the one this database was made with"),
    ):
        with pytest.raises(config.ConfigError, match=sentence.replace("*", r"\*")):
            await asyncio.wait_for(main.main(make_settings(made, **overrides)), START_S_MAX)


async def test_identity_runs_as_a_process(
    database: Callable[[str], Awaitable[Any]], valkey: Any, tmp_path: Path
) -> None:
    """Migrated and started by command, it serves, issues a token, and stops on SIGTERM."""
    made = await database("identity")
    (tmp_path / "master.key").write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    secret = secrets.token_urlsafe(32)
    (tmp_path / "admin").write_text(secret)
    grpc_port, http_port = ports.free(), ports.free()
    section = {
        "server": {"port": grpc_port, "metrics_port": 0},
        "database": {name: _plain(value) for name, value in made.fields().items()},
        "hotstore": {"url": valkey.url},
        "master_key_file": str(tmp_path / "master.key"),
        "http": {"port": http_port},
        "clients": [
            {"client_id": "admin", "secret_file": str(tmp_path / "admin"), "scopes": ["*"]}
        ],
    }
    file = tmp_path / "tessera.yaml"
    file.write_text(yaml.safe_dump({"identity": section}))
    migrated = await asyncio.to_thread(_run, "migrate", "identity", "--config", str(file))
    assert (migrated.returncode, migrated.stdout) == (0, "identity: at head\n")
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services",
            "identity",
            "--config",
            str(file),
            cwd=ROOT,
            env=_environment(),
            stdout=output,
            stderr=output,
        )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(
                health_pb2.HealthCheckRequest(service="readiness"),
                wait_for_ready=True,
                timeout=START_S_MAX,
            )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        form = {"grant_type": "client_credentials", "client_id": "admin", "client_secret": secret}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"http://127.0.0.1:{http_port}/oauth2/token", data=form) as response,
        ):
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), START_S_MAX) == 0, log.read_text()
        assert secret not in log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services", *arguments],
        cwd=ROOT,
        env=_environment(),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=START_S_MAX,
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}"}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
