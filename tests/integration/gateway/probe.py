"""The contract of the gateway's tests, and a backend that behaves as each test tells it."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from services.chassis import server
from services.gateway import contracts
from tools import contracts as compiler

HERE = Path(__file__).parent
SERVICE = "tessera.probe.v1.ProbeService"

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


def compile_probe(root: Path) -> Probe:
    """Compile the probe's contract beside the shared types, under `root`."""
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

        async def pour(pieces: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
            async for received in pieces:
                yield response(request={"text": f"{len(received.words)}"})

        kinds: dict[str, Any] = {
            "Watch": (grpc.unary_stream_rpc_method_handler, stream),
            "Pour": (grpc.stream_stream_rpc_method_handler, pour),
        }
        make, behaviour = kinds.get(
            path.rpartition("/")[2], (grpc.unary_unary_rpc_method_handler, answer)
        )
        return make(
            behaviour,
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
        self.server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", server.MESSAGE_BYTES_MAX),
            ]
        )
        self.server.add_generic_rpc_handlers((self.backend,))
        health = health_aio.HealthServicer()
        await health.set("readiness", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health, self.server)
        assert self.server.add_insecure_port(f"127.0.0.1:{self.port}") == self.port
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop(0)
