"""What the gateway must know of the contracts: methods, rights, deadlines, retries, messages."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api import annotations_pb2  # type: ignore[import-untyped]  # it has no stubs
from google.protobuf import descriptor, descriptor_pb2
from google.rpc import error_details_pb2, status_pb2
from tessera.type.v1 import permission_pb2

_ROOT = Path(permission_pb2.__file__).parents[2]
#: Details that travel in a google.rpc.Status: Envoy prints as JSON only what it has the type of.
_DETAILS = (error_details_pb2.DESCRIPTOR, status_pb2.DESCRIPTOR)
_VALIDATION = "buf/validate/validate.proto"


class ContractError(Exception):
    """A contract cannot be served through the gateway; the message names the method."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a call is repeated; `codes` are names of gRPC status codes."""

    attempts_max: int
    initial_backoff_s: float
    backoff_s_max: float
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """One way to call a method over HTTP: `body` is empty, `*` or the name of a field."""

    verb: str
    template: str
    body: str


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC. An empty `scope` with `public` false means that nobody may call it."""

    service: str
    name: str
    request: str
    scope: str
    public: bool
    timeout_s: float | None
    retry: Retry | None
    bindings: tuple[Binding, ...]
    streams_requests: bool = False

    @property
    def path(self) -> str:
        """The HTTP path of the call in gRPC."""
        return f"/{self.service}/{self.name}"

    @property
    def role(self) -> str:
        """The role that serves it: the second part of `tessera.<role>.v1`."""
        return self.service.split(".")[1]


@dataclass(frozen=True)
class Contracts:
    """Every RPC, sorted by path, messages and names of enumerations, what the transcoder needs."""

    methods: tuple[Method, ...]
    messages: Mapping[str, descriptor_pb2.DescriptorProto]
    enums: Mapping[str, tuple[str, ...]]
    descriptors: descriptor_pb2.FileDescriptorSet


def load(root: Path = _ROOT) -> Contracts:
    """Read the contracts as generated under `root`: descriptors and service configurations."""
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(
        (root / "descriptors.binpb").read_bytes()
    )
    configurations = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(root.glob("*/v*/service_config.json"))
    ]
    return read(descriptors, configurations)


def read(
    descriptors: descriptor_pb2.FileDescriptorSet, configurations: Iterable[Mapping[str, Any]]
) -> Contracts:
    """Return the contracts that descriptors and gRPC service configurations describe.

    Raises ContractError for what cannot be served: JSON for a stream of requests, bindings that
    differ in their body.
    """
    policies = _policies(configurations)
    methods = [
        _method(f"{file.package}.{service.name}", method, policies)
        for file in descriptors.file
        if file.package.startswith("tessera.")
        for service in file.service
        for method in service.method
    ]
    messages = {
        name: message
        for file in descriptors.file
        for name, message in _messages(file.package, file.message_type)
    }
    enums = {
        f"{scope}.{one.name}": tuple(value.name for value in one.value)
        for file in descriptors.file
        for scope, found in [
            (file.package, file.enum_type),
            *((name, held.enum_type) for name, held in _messages(file.package, file.message_type)),
        ]
        for one in found
    }
    return Contracts(
        methods=tuple(sorted(methods, key=lambda method: method.path)),
        messages=messages,
        enums=enums,
        descriptors=_transcodable(descriptors),
    )


def _method(
    service: str, method: descriptor_pb2.MethodDescriptorProto, policies: Mapping[str, Any]
) -> Method:
    permission = method.options.Extensions[permission_pb2.permission]
    policy = policies.get(f"{service}/{method.name}", policies.get(service, {}))
    bindings = _bindings(method)
    if method.client_streaming and bindings:
        raise ContractError(f"{service}/{method.name} streams its requests, which JSON cannot")
    if len({binding.body for binding in bindings}) > 1:
        raise ContractError(f"{service}/{method.name} has bindings with different bodies")
    timeout = policy.get("timeout")
    return Method(
        service=service,
        name=method.name,
        request=method.input_type.removeprefix("."),
        scope=permission.scope,
        public=permission.public,
        timeout_s=None if timeout is None else _seconds(timeout),
        retry=_retry(policy.get("retryPolicy")),
        bindings=bindings,
        streams_requests=method.client_streaming,
    )


def _policies(configurations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Map `service/method`, or `service` for all its other methods, to its configuration."""
    return {
        "/".join(filter(None, (name["service"], name.get("method")))): policy
        for configuration in configurations
        for policy in configuration["methodConfig"]
        for name in policy["name"]
    }


def _retry(policy: Mapping[str, Any] | None) -> Retry | None:
    if policy is None:
        return None
    return Retry(
        attempts_max=policy["maxAttempts"],
        initial_backoff_s=_seconds(policy["initialBackoff"]),
        backoff_s_max=_seconds(policy["maxBackoff"]),
        codes=tuple(policy["retryableStatusCodes"]),
    )


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def _bindings(method: descriptor_pb2.MethodDescriptorProto) -> tuple[Binding, ...]:
    if not method.options.HasExtension(annotations_pb2.http):
        return ()
    rule = method.options.Extensions[annotations_pb2.http]
    return tuple(
        Binding(verb=verb, template=getattr(each, verb), body=each.body)
        for each in (rule, *rule.additional_bindings)
        if (verb := each.WhichOneof("pattern")) is not None
    )


def _messages(
    scope: str, messages: Iterable[descriptor_pb2.DescriptorProto]
) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name, message
        yield from _messages(name, message.nested_type)


def _transcodable(
    descriptors: descriptor_pb2.FileDescriptorSet,
) -> descriptor_pb2.FileDescriptorSet:
    """Return what translating JSON takes: error details come in, validation rules stay out."""
    made = descriptor_pb2.FileDescriptorSet()
    known = {_VALIDATION}

    def add(file: descriptor.FileDescriptor) -> None:
        if file.name not in known:
            known.add(file.name)
            for dependency in file.dependencies:
                add(dependency)
            file.CopyToProto(made.file.add())

    for file in descriptors.file:
        if file.name not in known:
            known.add(file.name)
            _strip(made.file.add(), file)
    for details in _DETAILS:
        add(details)
    return made


def _strip(
    made: descriptor_pb2.FileDescriptorProto, file: descriptor_pb2.FileDescriptorProto
) -> None:
    made.CopyFrom(file)
    made.ClearField("source_code_info")
    made.dependency[:] = [name for name in file.dependency if name != _VALIDATION]
    for _, message in _messages(file.package, made.message_type):
        is_map = message.options.map_entry
        message.ClearField("options")
        if is_map:
            message.options.map_entry = True
        for element in (*message.field, *message.oneof_decl):
            element.ClearField("options")
