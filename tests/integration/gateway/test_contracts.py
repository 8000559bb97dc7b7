"""The real contracts behind a real Envoy: every way to call every method leads to it."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from services.gateway import __main__ as command_line
from services.gateway import config, contracts, envoy, render
from tools.stack import ports

SOURCE = contracts.load()
ROLES = sorted({method.role for method in SOURCE.methods})
BINDINGS = [
    pytest.param(method, binding, id=f"{binding.verb} {binding.template}")
    for method in SOURCE.methods
    for binding in method.bindings
]


class Recorder(grpc.GenericRpcHandler):
    """Answers every method with an empty message, and remembers which it was."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method

        async def answer(_: bytes, __: Any) -> bytes:
            self.paths.append(path)
            return b""

        if not path.startswith("/tessera."):
            return None
        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture(scope="module", name="recorder")
async def start_recorder() -> AsyncIterator[tuple[Recorder, int]]:
    """Serve every role's methods on one port."""
    recorder, port = Recorder(), ports.free()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((recorder,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    yield recorder, port
    await server.stop(0)


@pytest.fixture(scope="module", name="served")
async def start_served(
    recorder: tuple[Recorder, int], gateway_at: Any, tmp_path_factory: Any
) -> AsyncIterator[Any]:
    """Start a gateway in front of every role."""
    upstreams = {role: config.Address(port=recorder[1]) for role in ROLES}
    async with AsyncExitStack() as stack:
        yield await gateway_at(
            stack, tmp_path_factory.mktemp("served"), source=SOURCE, upstreams=upstreams
        )


@pytest.mark.parametrize(("method", "binding"), BINDINGS)
async def test_every_http_binding_reaches_its_method(served, recorder, issuer, method, binding):
    """No two bindings are in each other's way, and the scope of the contract opens each."""
    recorder[0].paths.clear()
    path = re.sub(r"\{[^}]*\}", "1", binding.template)  # a number is a text, too
    answer = await served.send(
        binding.verb.upper(),
        path,
        token=issuer.token(method.scope),
        json={} if binding.body else None,
    )
    assert answer.status == 200, answer.body
    assert recorder[0].paths == [method.path]


@pytest.mark.parametrize("method", SOURCE.methods, ids=lambda method: method.path)
async def test_every_method_asks_for_its_scope_alone(served, recorder, issuer, method):
    """All scopes but the right one are not enough, the right one alone is."""
    if method.public:
        return
    recorder[0].paths.clear()
    stub = served.channel.unary_unary(method.path)
    others = {each.scope for each in SOURCE.methods if each.scope} - {method.scope}
    wrong = (("authorization", f"Bearer {issuer.token(' '.join(sorted(others)))}"),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub(b"", metadata=wrong, timeout=5)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert recorder[0].paths == []
    right = (("authorization", f"Bearer {issuer.token(method.scope)}"),)
    await stub(b"", metadata=right, timeout=5)
    assert recorder[0].paths == [method.path]


SETTINGS = """\
shared:
  auth:
    jwks_url: https://identity.example/.well-known/jwks.json
    token_url: http://127.0.0.1:50061/oauth2/token
  telemetry: {otlp_endpoint: "http://127.0.0.1:4317", sampling_ratio: 0.5}
gateway:
  upstreams:
    identity: {port: 50051}
    ledger: {host: ledger.example, port: 50052}
  cors_origins: [https://shop.example]
  access_log: all
  trusted_ca_file: {authority}
"""


@pytest.fixture
def settings_file(tmp_path, certificate):
    """Write settings that use every optional part but a certificate of the listener's own."""
    file = tmp_path / "tessera.yaml"
    file.write_text(SETTINGS.replace("{authority}", str(certificate[0])))
    return file


def test_envoy_accepts_every_optional_part(settings_file, capfd):
    """TLS to identity, traces and CORS make a configuration that Envoy validates."""
    assert command_line.main(["validate", "--config", str(settings_file)]) == 0
    assert "gateway.upstreams.promotions is missing" in capfd.readouterr().err


def test_envoy_accepts_certificates(tmp_path, settings_file, certificate):
    """The listener speaks TLS when it is given a certificate."""
    settings = config.load(settings_file)
    tls = config.TlsSettings(certificate_file=certificate[0], key_file=certificate[1])
    path = tmp_path / "envoy.yaml"
    render.write(render.render(SOURCE, settings.model_copy(update={"tls": tls})), path)
    envoy.validate(path)


def test_rendered_file_is_complete_and_stable(tmp_path, settings_file):
    """Rendering twice gives the same bytes, and Envoy needs no other file."""
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    for path in (first, second):
        arguments = ["render", "--config", str(settings_file), "--output", str(path)]
        assert command_line.main(arguments) == 0
    assert first.read_bytes() == second.read_bytes()
    envoy.validate(first)


def test_broken_configuration_is_refused_with_envoys_words(tmp_path):
    """Whoever changes the renderer learns from Envoy what is wrong."""
    path = tmp_path / "envoy.yaml"
    render.write({"static_resources": {"listenerz": []}}, path)
    with pytest.raises(envoy.ConfigurationRefused, match="listenerz"):
        envoy.validate(path)
