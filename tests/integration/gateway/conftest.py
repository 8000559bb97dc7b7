"""A real Envoy between test clients and a gRPC backend, and the keys of an identity."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.chassis.config import AuthSettings
from services.gateway import config
from tests.integration.gateway.edge import Gateway, Refused, start_gateway
from tests.integration.gateway.issuer import Issuer, start_issuer, trust
from tests.integration.gateway.probe import Backend, Probe, Upstream, compile_probe
from tools.stack import ports

Start = Callable[..., Awaitable[Gateway]]


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """Compile the probe's contract."""
    return compile_probe(tmp_path_factory.mktemp("protos"))


@pytest.fixture(scope="session", name="upstream")
async def start_upstream(probe: Probe) -> AsyncIterator[Upstream]:
    """Serve the probe's contract."""
    upstream = Upstream(Backend(probe), ports.free())
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture
def backend(upstream: Upstream) -> Iterator[Backend]:
    """Give the backend as new: no calls, and it echoes; leave it so."""
    upstream.backend.reset()
    yield upstream.backend
    upstream.backend.reset()


@pytest.fixture
async def own_issuer() -> AsyncIterator[Issuer]:
    """Publish keys as identity does, for a test that changes them."""
    async with AsyncExitStack() as stack:
        yield await start_issuer(stack)


@pytest.fixture(scope="session", name="issuer")
async def start_shared_issuer() -> AsyncIterator[Issuer]:
    """Publish keys and give out tokens as identity does."""
    async with AsyncExitStack() as stack:
        yield await start_issuer(stack)


async def eventually(happens: Callable[[], Awaitable[bool]], *, within_s: float = 10) -> None:
    """Wait until something happens; fail when it does not within the time given."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not await happens():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


@pytest.fixture(name="eventually")
def give_eventually() -> Callable[..., Awaitable[None]]:
    """Return `await eventually(condition)`."""
    return eventually


def defaults(upstream: Upstream, issuer: Issuer) -> dict[str, Any]:
    """Return settings that lead to the backend and to the issuer."""
    return {
        "upstreams": {"probe": config.Address(port=upstream.port)},
        "auth": trust(issuer.port),
        "cors_origins": ("https://shop.example",),
        "health_interval_s": 1,
        "access_log": "all",
    }


@pytest.fixture(scope="session", name="gateway")
async def start_shared_gateway(
    gateway_at: Start, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """Start the gateway that most tests share."""
    async with AsyncExitStack() as stack:
        yield await gateway_at(stack, tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="session")
def gateway_at(probe: Probe, upstream: Upstream, issuer: Issuer) -> Start:
    """Return `await gateway_at(stack, directory, …)`: a gateway that lives as long as the stack."""

    async def begin(stack: AsyncExitStack, directory: Path, **overrides: Any) -> Gateway:
        base = {**defaults(upstream, issuer), **overrides}
        return await start_gateway(stack, directory, probe, **base)

    return begin


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate that nobody has to trust, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("certificate")
    files = directory / "tls.crt", directory / "tls.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@pytest.fixture
async def start(gateway_at: Start, tmp_path: Path) -> AsyncIterator[Start]:
    """Return `await start(**overrides)`: a gateway of the test's own."""
    async with AsyncExitStack() as stack:
        yield functools.partial(gateway_at, stack, tmp_path)


@pytest.fixture(name="trust")
def give_trust() -> Callable[..., AuthSettings]:
    """Return `trust(port, …)`: settings that trust the issuer at a port."""
    return trust


@pytest.fixture(name="issuer_at")
def give_issuer_at() -> Callable[..., Awaitable[Issuer]]:
    """Return `await issuer_at(stack, port)`: an issuer that lives as long as the stack."""
    return start_issuer


@pytest.fixture(name="refused")
def give_refused() -> type[Refused]:
    """Return the exception that `call` raises."""
    return Refused


@pytest.fixture
def token(issuer: Issuer) -> str:
    """Give a token with every scope of the probe."""
    return issuer.token()
