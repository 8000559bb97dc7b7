"""Reading descriptors and service configurations."""

import pytest
from google.api import annotations_pb2  # type: ignore[import-untyped]  # it has no stubs
from google.protobuf import descriptor_pb2, descriptor_pool

from services.gateway import contracts

POLICY = {
    "methodConfig": [
        {"name": [{"service": "tessera.shop.v1.ShopService"}], "timeout": "2s"},
        {
            "name": [{"service": "tessera.shop.v1.ShopService", "method": "Buy"}],
            "timeout": "0.25s",
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
    ]
}


def test_method_is_read_with_everything_said_about_it(draft):
    """Scope, deadline, retries and ways to call come together."""
    draft.method("Buy", scope="goods.buy", http=[("post", "/v1/goods:buy", "*")])
    (method,) = draft.read(POLICY).methods
    assert method == contracts.Method(
        service="tessera.shop.v1.ShopService",
        name="Buy",
        request="tessera.shop.v1.Request",
        scope="goods.buy",
        public=False,
        timeout_s=0.25,
        retry=contracts.Retry(3, 0.05, 0.5, ("UNAVAILABLE",)),
        bindings=(contracts.Binding("post", "/v1/goods:buy", "*"),),
    )
    assert (method.role, method.path) == ("shop", "/tessera.shop.v1.ShopService/Buy")


def test_policy_of_the_service_holds_for_methods_without_their_own(draft):
    """The most specific name wins, as in gRPC itself."""
    draft.method("Look", public=True)
    draft.method("Buy", scope="goods.buy")
    buy, look = draft.read(POLICY).methods
    assert (buy.timeout_s, look.timeout_s) == (0.25, 2.0)
    assert look.retry is None


def test_method_without_policy_or_permission_is_read_as_such(draft):
    """What a contract does not say is not invented."""
    draft.method("Forgotten")
    (method,) = draft.read().methods
    assert (method.scope, method.public, method.timeout_s, method.bindings) == ("", False, None, ())


def test_streamed_requests_are_for_grpc_alone(draft):
    """A JSON body is one request; a method that takes a stream of them cannot have a binding."""
    upload = draft.method("Upload", scope="a", client_streaming=True)
    assert draft.read().methods[0].streams_requests
    upload.options.Extensions[annotations_pb2.http].post = "/v1/a"
    with pytest.raises(contracts.ContractError, match=r"ShopService/Upload streams"):
        draft.read()


def test_bindings_that_take_different_bodies_are_refused(draft):
    """The check of a body knows the method and not the binding."""
    draft.method("Buy", scope="a", http=[("post", "/v1/a", "*"), ("put", "/v1/{text}", "")])
    with pytest.raises(contracts.ContractError, match="different bodies"):
        draft.read()


def test_real_contracts_load_and_transcode():
    """What Envoy gets is a complete set: it builds a pool, error details included."""
    source = contracts.load()
    assert source.methods
    pool = descriptor_pool.DescriptorPool()
    for file in source.descriptors.file:
        pool.Add(file)
    for name in ("ErrorInfo", "BadRequest", "RetryInfo", "Status"):
        assert pool.FindMessageTypeByName(f"google.rpc.{name}")
    for method in source.methods:
        assert pool.FindMethodByName(f"{method.service}.{method.name}")
    assert "buf/validate/validate.proto" not in {file.name for file in source.descriptors.file}


def test_stripping_keeps_what_translation_needs():
    """Validation rules go, maps stay maps, HTTP rules stay, fields keep names and numbers."""
    lean = {file.name: file for file in contracts.load().descriptors.file}
    descriptors = (contracts._ROOT / "descriptors.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        if not file.package.startswith("tessera."):
            continue
        kept = dict(contracts._messages(file.package, lean[file.name].message_type))
        for name, message in contracts._messages(file.package, file.message_type):
            assert [(f.name, f.number, f.type_name) for f in message.field] == [
                (f.name, f.number, f.type_name) for f in kept[name].field
            ]
            assert kept[name].options.map_entry == message.options.map_entry
        assert lean[file.name].service == file.service
