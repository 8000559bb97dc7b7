"""A contract of its own for the chassis, servers that serve it, and an issuer of tokens."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from buf.validate import validate_pb2
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message_factory
from joserfc import jwk, jwt

from services.chassis import auth, clients, config, server
from tools import contracts
from tools.stack import ports, valkey
from tools.stack.standalone import Standalone

PROTO = """
syntax = "proto3";
package chassis_test.v1;

import "buf/validate/validate.proto";
import "tessera/type/v1/permission.proto";

message EchoRequest {
  string text = 1 [(buf.validate.field).string.max_len = 10];
  repeated Part parts = 2;
  int32 count = 3 [(buf.validate.field).int32.lte = 100];
}
message Part { int32 size = 1 [(buf.validate.field).int32.gt = 0]; }
message EchoResponse { string text = 1; int64 number = 2; }

service EchoService {
  rpc Echo(EchoRequest) returns (EchoResponse) {
    option (tessera.type.v1.permission) = {scope: "echo"};
  }
  rpc Greet(EchoRequest) returns (EchoResponse) {
    option (tessera.type.v1.permission) = {public: true};
  }
  rpc Report(EchoRequest) returns (EchoResponse) {
    option (tessera.type.v1.permission) = {public: true};
  }
  rpc Count(EchoRequest) returns (stream EchoResponse) {
    option (tessera.type.v1.permission) = {scope: "echo"};
  }
  rpc Sum(stream EchoRequest) returns (EchoResponse) {
    option (tessera.type.v1.permission) = {scope: "echo"};
  }
  rpc Tally(stream EchoRequest) returns (stream EchoResponse) {
    option (tessera.type.v1.permission) = {scope: "echo"};
  }
}
"""
SERVICE = "chassis_test.v1.EchoService"
TIMEOUTS_ARE_ROUNDED_UP_S = 0.1
"""gRPC sends three digits of a time-out, rounded up, counted from a clock that is seldom read."""
# Importing stubs is what makes the pool know the files that the contract stands on.
assert validate_pb2.DESCRIPTOR.name


class Contract:
    """The compiled contract: its service and its messages."""

    def __init__(self, service: descriptor.ServiceDescriptor) -> None:
        self.service = service
        method = service.methods_by_name["Echo"]
        self.Request: Any = message_factory.GetMessageClass(method.input_type)
        self.Response: Any = message_factory.GetMessageClass(method.output_type)

    def stub(self, channel: Any, method: str) -> Any:
        """Return what a generated stub would hold for a method."""
        kinds = {"Count": "unary_stream", "Sum": "stream_unary", "Tally": "stream_stream"}
        return getattr(channel, kinds.get(method, "unary_unary"))(
            f"/{SERVICE}/{method}",
            request_serializer=self.Request.SerializeToString,
            response_deserializer=self.Response.FromString,
        )


class Issuer:
    """Signs access tokens and publishes the key."""

    def __init__(self) -> None:
        self.settings = config.AuthSettings()
        self._key = jwk.ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})

    async def keys(self) -> dict[str, Any]:
        return {"keys": [self._key.as_dict(private=False)]}

    def verifier(self) -> auth.Verifier:
        return auth.Verifier(self.settings, self.keys)

    def token(self, scope: str = "echo", life_s: int = 600, **claims: Any) -> str:
        return jwt.encode(
            {"alg": "ES256", "kid": "one", "typ": "at+jwt"},
            {
                "iss": self.settings.issuer,
                "aud": self.settings.audience,
                "sub": "cli_test",
                "scope": scope,
                "exp": int(time.time()) + life_s,
                **claims,
            },
            self._key,
            algorithms=["ES256"],
        )

    def metadata(self, **claims: Any) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token(**claims)}"),)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the test contract, once."""
    root = tmp_path_factory.mktemp("protos")
    source = root / "tessera" / "chassis_test.proto"
    source.parent.mkdir()
    source.write_text(PROTO)
    for imported in ("tessera/type/v1/permission.proto",):
        target = root / imported
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((contracts.PROTOS / imported).read_text())
    contracts.compile_image(root / "image.binpb", root)
    return root / "image.binpb"


@pytest.fixture(scope="session")
def contract(image: Path) -> Contract:
    """Load the test contract into the process' descriptor pool."""
    load_contract(image)
    return find_contract()


def load_contract(image: Path) -> None:
    """Add the files of an image that the pool does not know yet."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    for file in files.file:
        if file.package == "chassis_test.v1":
            file.ClearField("source_code_info")
            descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


def find_contract() -> Contract:
    """Return the contract once it is loaded."""
    return Contract(descriptor_pool.Default().FindServiceByName(SERVICE))


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def serve(contract: Contract, issuer: Issuer) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Return `await serve(servicer)`: a running server on a free port, stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(
            servicer: object, *, low_priority: Any = (), checks: Any = None, **settings
        ):
            values = {"port": 0, "metrics_port": 0, "drain_s": 2, **settings}
            made = server.Server(
                "test", config.ServerSettings(**values), verifier=issuer.verifier(), checks=checks
            )
            made.add(servicer, contract.service, low_priority=low_priority)
            await made.start()
            stack.push_async_callback(made.stop)
            return made

        yield start


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Return `await connect(server)`: a channel of ours to it."""
    async with AsyncExitStack() as stack:

        async def open_channel(made: server.Server, tokens: clients.Tokens | None = None) -> Any:
            return await stack.enter_async_context(
                clients.channel(f"127.0.0.1:{made.port}", service=SERVICE, tokens=tokens)
            )

        yield open_channel


async def eventually(condition: Callable[[], Any], within_s: float = 10) -> Any:
    """Poll until a condition holds; return what it returned."""
    async with asyncio.timeout(within_s):
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return result
            await asyncio.sleep(0.01)


@pytest.fixture(name="eventually", scope="session")
def give_eventually() -> Any:
    return eventually


@pytest.fixture(scope="session")
async def chassis_database(database: Any) -> Any:
    """Make one database for the session: making one costs more than most tests."""
    return await database("chassis")


@pytest.fixture
async def empty_database(chassis_database: Any, postgres_superuser: Any) -> Any:
    """Return the database of the session without anything in it."""
    connection = await postgres_superuser(chassis_database.name)
    await connection.execute(
        """
        DROP SCHEMA public CASCADE;
        CREATE SCHEMA public AUTHORIZATION pg_database_owner;
        GRANT USAGE ON SCHEMA public TO PUBLIC;
        """
    )
    return chassis_database


@pytest.fixture
async def postgres_superuser(postgres: Any) -> AsyncIterator[Any]:
    """Return `await postgres_superuser(name)`: a connection that may do anything to a database."""
    opened = []

    async def connect_to(name: str) -> Any:
        connection = await asyncpg.connect(
            host=postgres.host,
            port=postgres.port,
            user=postgres.user,
            password=postgres.password,
            database=name,
        )
        opened.append(connection)
        return connection

    yield connect_to
    for connection in opened:
        await connection.close()


@dataclass
class OwnValkey:
    """A Valkey that one test may kill."""

    url: str
    process: Standalone


@pytest.fixture
async def own_valkey(tmp_path: Path) -> AsyncIterator[OwnValkey]:
    password, port = "secret", ports.free()
    endpoint = valkey.endpoint(port=port, password=password)
    process = Standalone(
        valkey.prepare(tmp_path / "valkey", port=port, password=password),
        log=tmp_path / "valkey.log",
        is_ready=lambda: valkey.is_ready(endpoint),
    )
    await process.start()
    yield OwnValkey(endpoint.url, process)
    process.stop()
