"""Contracts and settings small enough to see through."""

from collections.abc import Callable
from typing import Any

import pytest
from google.api import annotations_pb2  # type: ignore[import-untyped]  # it has no stubs
from google.protobuf import descriptor_pb2
from tessera.type.v1 import permission_pb2

from services.chassis.config import AuthSettings
from services.gateway import config, contracts

_FIELD = descriptor_pb2.FieldDescriptorProto


class Draft:
    """A file with one service, built line by line."""

    def __init__(self, role: str = "shop", service: str = "ShopService") -> None:
        self.file = descriptor_pb2.FileDescriptorProto(
            name=f"tessera/{role}/v1/service.proto",
            package=f"tessera.{role}.v1",
            syntax="proto3",
            dependency=["google/api/annotations.proto", "tessera/type/v1/permission.proto"],
        )
        self.service = self.file.service.add(name=service)
        self.message("Request", text="string")

    def message(self, name: str, /, **fields: str) -> descriptor_pb2.DescriptorProto:
        """Add a message; a field's type is scalar, or a message's full name, `[]` for a list."""
        message = self.file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            made = message.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL)
            if kind.startswith("[]"):
                made.label = _FIELD.LABEL_REPEATED
            name = kind.removeprefix("[]")
            if "." in name:
                made.type, made.type_name = _FIELD.TYPE_MESSAGE, f".{name}"
            else:
                made.type = _FIELD.Type.Value(f"TYPE_{name.upper()}")
        return message

    def method(
        self, name: str, *, scope: str = "", public: bool = False, **options: Any
    ) -> descriptor_pb2.MethodDescriptorProto:
        """Add a method; `http` is a list of (verb, template, body)."""
        method = self.service.method.add(
            name=name,
            input_type=f".{self.file.package}.{options.get('request', 'Request')}",
            output_type=f".{self.file.package}.Request",
            client_streaming=options.get("client_streaming", False),
        )
        if scope or public:
            permission = method.options.Extensions[permission_pb2.permission]
            permission.scope, permission.public = scope, public
        for index, (verb, template, body) in enumerate(options.get("http", ())):
            rule = method.options.Extensions[annotations_pb2.http]
            each = rule if index == 0 else rule.additional_bindings.add()
            setattr(each, verb, template)
            each.body = body
        return method

    def read(self, *configurations: dict[str, Any]) -> contracts.Contracts:
        """Return the contracts of this file alone."""
        files = descriptor_pb2.FileDescriptorSet(file=[self.file])
        return contracts.read(files, configurations)


@pytest.fixture
def draft() -> Draft:
    """Give an empty contract of the role `shop`."""
    return Draft()


@pytest.fixture
def make_settings() -> Callable[..., config.Settings]:
    """Return `make_settings(**overrides)`."""

    def make(**overrides: Any) -> config.Settings:
        base: dict[str, Any] = {
            "upstreams": {"shop": config.Address(port=1)},
            "auth": AuthSettings(
                jwks_url="http://127.0.0.1:2/keys", token_url="http://127.0.0.1:2/oauth2/token"
            ),
        }
        return config.Settings(**{**base, **overrides})

    return make
