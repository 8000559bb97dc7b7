"""A running Envoy, and clients that speak to it in gRPC, gRPC-Web and JSON."""

import json
import struct
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from google.rpc import error_details_pb2, status_pb2
from yarl import URL

from services.gateway import config, contracts, envoy, render
from tests.integration.gateway.probe import SERVICE, Probe
from tools.stack import ports
from tools.stack.program import Program
from tools.stack.standalone import Standalone


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
