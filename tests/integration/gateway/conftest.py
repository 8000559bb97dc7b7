"""A real Envoy between test clients and a gRPC backend that behaves as each test tells it."""

import asyncio
import functools
import json
import shutil
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from joserfc import jwk, jwt
from yarl import URL

from services.chassis.config import AuthSettings
from services.gateway import config, contracts, envoy, render
from tools import contracts as compiler
from tools.stack import ports
from tools.stack.program import Program
from tools.stack.standalone import Standalone

HERE = Path(__file__).parent
SERVICE = "tessera.probe.v1.ProbeService"
ISSUER = "tessera-identity"

Behaviour = Callable[[Any, Any], Awaitable[Any]]


@dataclass(frozen=True, repr=False)
class Probe:
    """The contract of the tests: as the gateway reads it, and as messages."""

    source: contracts.Contracts
    pool: descriptor_pool.DescriptorPool

    def kind(self, name: str) -> type[message.Message]:
        return message_factory.GetMessageClass(
            self.pool.FindMessageTypeByName(f"tessera.probe.v1.{name}")
        )

    def types(self, path: str) -> tuple[type[message.Message], type[message.Message]]:
        """Return the request and the response of a method."""
        method = self.pool.FindMethodByName(path.removeprefix("/").replace("/", "."))
        return (
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
        )


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """Compile the probe's contract beside the shared types."""
    root = tmp_path_factory.mktemp("protos")
    package = root / "tessera" / "probe" / "v1"
    package.mkdir(parents=True)
    shutil.copytree(compiler.PROTOS / "tessera" / "type", root / "tessera" / "type")
    shutil.copy(HERE / "probe_service.proto", package)
    compiler.compile_image(root / "image.binpb", root)
    descriptors = descriptor_pb2.FileDescriptorSet.FromString((root / "image.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    policies = json.loads((HERE / "probe_service_config.json").read_text())
    return Probe(contracts.read(descriptors, [policies]), pool)


@dataclass
class Call:
    """One call that reached the backend."""

    path: str
    request: Any
    metadata: dict[str, Any]
    time_remaining_s: float | None


class Backend(grpc.GenericRpcHandler):
    """Serves every method of a contract: by default it answers with the request."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.calls: list[Call] = []
        self.behaviour: Behaviour = self.echo

    def reset(self) -> None:
        self.calls.clear()
        self.behaviour = self.echo

    async def echo(self, request: Any, context: Any) -> Any:
        response: Any = self._probe.kind("EchoResponse")()
        if request.DESCRIPTOR.name == "EchoRequest":
            response.request.CopyFrom(request)
        else:
            response.request.text = request.text
        return response

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        if not path.startswith(f"/{SERVICE}/"):
            return None
        request, response = self._probe.types(path)

        async def answer(received: Any, context: Any) -> Any:
            metadata = dict(context.invocation_metadata())
            self.calls.append(Call(path, received, metadata, context.time_remaining()))
            return await self.behaviour(received, context)

        async def stream(received: Any, context: Any) -> AsyncIterator[Any]:
            answered = await answer(received, context)
            for _ in range(3):
                yield answered

        streams = path.endswith("/Watch")
        make: Any = (
            grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        )
        return make(
            stream if streams else answer,
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )


@dataclass
class Upstream:
    """The backend's server, on a fixed port, so that tests stop it and start it again."""

    backend: Backend
    port: int
    server: Any = None

    async def start(self) -> None:
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((self.backend,))
        health = health_aio.HealthServicer()
        await health.set("readiness", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health, self.server)
        assert self.server.add_insecure_port(f"127.0.0.1:{self.port}") == self.port
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop(0)


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


@dataclass
class Issuer:
    """Identity's HTTP endpoints, with a key made here; `keys` are those it publishes."""

    port: int
    keys: list[Any] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)

    def rotate(self) -> Any:
        """Make a key; the caller decides when it is published."""
        return jwk.ECKey.generate_key("P-256", {"kid": f"k{time.monotonic_ns()}", "use": "sig"})

    def token(self, scope: str = "probes.read probes.write", **claims: Any) -> str:
        key = claims.pop("key", self.keys[0] if self.keys else None)
        now = int(time.time())
        body = {
            "iss": ISSUER,
            "aud": "tessera",
            "sub": "pos-1",
            "client_id": "pos-1",
            "scope": scope,
            "iat": now,
            "exp": now + 600,
            "jti": str(time.monotonic_ns()),
        }
        header = {"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}
        return jwt.encode(header, {**body, **claims}, key)

    async def serve_keys(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def serve_token(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        self.forms.append({key: str(value) for key, value in (await request.post()).items()})
        return web.json_response({"access_token": self.token(), "token_type": "Bearer"})

    async def serve_metadata(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        return web.json_response({"issuer": ISSUER})


async def start_issuer(stack: AsyncExitStack, port: int | None = None) -> Issuer:
    issuer = Issuer(port or ports.free())
    issuer.keys.append(issuer.rotate())
    application = web.Application()
    application.router.add_get("/.well-known/jwks.json", issuer.serve_keys)
    application.router.add_get("/.well-known/oauth-authorization-server", issuer.serve_metadata)
    application.router.add_post("/oauth2/token", issuer.serve_token)
    runner = web.AppRunner(application)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", issuer.port).start()
    return issuer


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


@dataclass
class Answer:
    """What came back, whatever the protocol."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"].startswith("application/json"), self.body
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.detail("ErrorInfo")["reason"])

    def detail(self, name: str) -> Any:
        kind = f"type.googleapis.com/google.rpc.{name}"
        found = [each for each in self.json["details"] if each["@type"] == kind]
        assert len(found) == 1, self.json
        return found[0]


class Refused(Exception):  # noqa: N818  the name says what happened
    """A call in gRPC was refused: its code, its message, its ErrorInfo."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(f"{error.code()}: {error.details()}")
        self.code = error.code()
        self.message = error.details()
        self.trailers = dict(error.trailing_metadata() or ())
        self.info = error_info(self.trailers.get("grpc-status-details-bin"))


def error_info(data: bytes | None) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo in a serialized google.rpc.Status; an empty one when there is none."""
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(data or b"").details:
        if detail.Unpack(info):
            break
    return info


class Gateway:
    """A running Envoy and the clients that speak to it."""

    def __init__(self, settings: config.Settings, process: Standalone, probe: Probe) -> None:
        self.settings = settings
        self.process = process
        self._probe = probe
        self.target = f"127.0.0.1:{settings.listener.port}"
        self.url = f"http://{self.target}"
        self.channel: Any = None
        self.session: Any = None

    async def send(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> Answer:
        """Send an HTTP request; `json` and `data` are aiohttp's."""
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        if isinstance(options.get("data"), str):
            headers.setdefault("content-type", "application/json")
        url = options.pop("base", self.url) + path
        async with self.session.request(
            method, URL(url, encoded=True), headers=headers, **options
        ) as response:
            body = await response.read()
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, lowered, body)

    async def call(
        self,
        name: str,
        *,
        token: str | None = None,
        metadata: tuple[tuple[str, str], ...] = (),
        timeout_s: float = 5,
        **fields: Any,
    ) -> Any:
        """Call a method in gRPC; raises Refused for whatever is not OK."""
        path = f"/{SERVICE}/{name}"
        request, response = self._probe.types(path)
        stub = self.channel.unary_unary(
            path,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        bearer = (("authorization", f"Bearer {token}"),) if token is not None else ()
        try:
            return await stub(request(**fields), metadata=bearer + metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise Refused(error) from None

    async def call_web(
        self, name: str, *, token: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Call a method in gRPC-Web; return the trailers, and the response under `message`."""
        request, response = self._probe.types(f"/{SERVICE}/{name}")
        data = request(**fields).SerializeToString()
        answer = await self.send(
            "POST",
            f"/{SERVICE}/{name}",
            token=token,
            data=struct.pack(">BI", 0, len(data)) + data,
            headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
        )
        trailers: dict[str, Any] = {
            key: value for key, value in answer.headers.items() if key.startswith("grpc-")
        }
        trailers["http_status"] = answer.status
        body = answer.body
        while body:
            flags, length = struct.unpack(">BI", body[:5])
            frame, body = body[5 : 5 + length], body[5 + length :]
            if flags & 0x80:
                for line in frame.decode().split("\r\n"):
                    key, _, value = line.partition(":")
                    if key:
                        trailers[key.lower()] = value.strip()
            else:
                trailers["message"] = response.FromString(frame)
        return trailers

    async def statistics(self) -> dict[str, int]:
        """Return Envoy's counters and gauges."""
        answer = await self.send(
            "GET",
            "/stats?usedonly&format=json",
            base=f"http://127.0.0.1:{self.settings.admin_port}",
        )
        return {
            each["name"]: each["value"]
            for each in json.loads(answer.body)["stats"]
            if isinstance(each.get("value"), int)
        }

    async def is_ready(self) -> bool:
        try:
            return (await self.send("GET", "/healthz")).status == 200
        except aiohttp.ClientError:
            return False


Start = Callable[..., Awaitable[Gateway]]


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


async def start_gateway(
    stack: AsyncExitStack,
    directory: Path,
    probe: Probe,
    *,
    source: contracts.Contracts | None = None,
    **overrides: Any,
) -> Gateway:
    """Render a configuration, start Envoy with it, and wait until it answers."""
    settings = config.Settings(
        listener=config.Address(port=ports.free()),
        admin_port=ports.free(),
        metrics=config.Address(port=ports.free()),
        **overrides,
    )
    path = directory / "envoy.yaml"
    render.write(render.render(source or probe.source, settings), path)
    program = Program(
        name="envoy",
        command=tuple(envoy.command(path, concurrency=1)),
        directory=directory,
        priority=1,
        stop_wait_s=5,
    )
    gateway = Gateway(settings, None, probe)  # type: ignore[arg-type]
    gateway.session = await stack.enter_async_context(aiohttp.ClientSession())
    gateway.process = Standalone(program, log=directory / "envoy.log", is_ready=gateway.is_ready)
    await gateway.process.start()
    stack.callback(gateway.process.stop)
    gateway.channel = await stack.enter_async_context(
        grpc.aio.insecure_channel(
            gateway.target,
            options=[("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)],
        )
    )
    return gateway


def trust(port: int, **overrides: Any) -> AuthSettings:
    """Return settings that trust the issuer at a port."""
    base = f"http://127.0.0.1:{port}"
    return AuthSettings(
        issuer=ISSUER,
        jwks_url=f"{base}/.well-known/jwks.json",
        token_url=f"{base}/oauth2/token",
        **overrides,
    )


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
