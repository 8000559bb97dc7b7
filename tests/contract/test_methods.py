"""What every method of every contract must say: a right, a deadline, its refusals, its bounds."""

import importlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from buf.validate import validate_pb2
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool

from services.chassis import errors as chassis_errors
from services.gateway import contracts
from tools import contracts as compiler

Field = descriptor.FieldDescriptor
SOURCE = contracts.load()
METHODS = [pytest.param(method, id=method.path) for method in SOURCE.methods]
ROLES = sorted({method.role for method in SOURCE.methods})
#: Deadlines longer than this would outlive the drain of a service.
TIMEOUT_S_MAX = 30
#: A service and its methods, by position, in the paths of source locations.
_SERVICE, _METHOD = 6, 2


@pytest.fixture(scope="module")
def pool() -> descriptor_pool.DescriptorPool:
    """Load every contract that has methods."""
    files = descriptor_pb2.FileDescriptorSet.FromString(compiler.DESCRIPTORS.read_bytes()).file
    for file in files:
        if file.service and file.package.startswith("tessera."):
            importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
    return descriptor_pool.Default()


@pytest.fixture(scope="module")
def comments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Map the path of each method to the comment above it."""
    image = tmp_path_factory.mktemp("image") / "contracts.binpb"
    compiler.compile_image(image)
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    return {path: text for file in files for path, text in _comments(file)}


def _comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        match list(location.path):
            case [kind, service, part, method] if (kind, part) == (_SERVICE, _METHOD):
                owner = file.service[service]
                path = f"/{file.package}.{owner.name}/{owner.method[method].name}"
                yield path, " ".join(location.leading_comments.split())


def _reasons(role: str) -> set[str]:
    module: Any = importlib.import_module(f"tessera.{role}.v1.error_reason_pb2")
    return {name.removeprefix("ERROR_REASON_") for name in module.ErrorReason.keys()}  # noqa: SIM118


@pytest.mark.parametrize("method", METHODS)
def test_method_names_a_scope_or_is_public(method):
    """Never both, never neither: the default is that nobody may call."""
    assert method.public != bool(method.scope)
    assert not method.scope or re.fullmatch(r"[a-z]+(\.[a-z]+)?", method.scope)


@pytest.mark.parametrize("method", METHODS)
def test_method_has_a_deadline(method):
    """Every method's time is said in its service_config.json."""
    assert method.timeout_s is not None
    assert 0 < method.timeout_s <= TIMEOUT_S_MAX


@pytest.mark.parametrize("method", METHODS)
def test_retry_policy_is_one_that_every_client_can_follow(method):
    """Only what surely did not happen, or is safe to repeat, is repeated; and not for long."""
    if method.retry is None:
        return
    assert 2 <= method.retry.attempts_max <= 5
    assert method.retry.codes == ("UNAVAILABLE",)
    assert 0 < method.retry.initial_backoff_s <= method.retry.backoff_s_max <= method.timeout_s


def test_configured_methods_exist():
    """No deadline is written for a method that is gone."""
    known = {method.path for method in SOURCE.methods}
    for path in sorted((compiler.PROTOS / "tessera").glob("*/v1/service_config.json")):
        for name in _configured(path):
            assert name in known, f"{path.parent}: {name}"


def _configured(path: Any) -> Iterator[str]:
    configuration = json.loads(path.read_text())
    for policy in configuration["methodConfig"]:
        for name in policy["name"]:
            yield f"/{name['service']}/{name['method']}"


@pytest.mark.parametrize("method", METHODS)
def test_comment_names_refusals_that_exist(method, comments):
    """The comment says what the method refuses with, in the words of the contract."""
    comment = comments[method.path]
    assert re.search(r"[Rr]efus|[Nn]ever fails|Always answers", comment), comment
    known = {
        kind.reason
        for kind in vars(chassis_errors).values()
        if isinstance(kind, type) and issubclass(kind, chassis_errors.Refusal)
    }
    for role in ROLES:
        known |= _reasons(role)
    for word in re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", comment):
        assert word in known, word


@pytest.mark.parametrize("role", ROLES)
def test_every_reason_is_named_by_a_method(role, comments):
    """A reason that no method's comment names, and no answer carries, is one nobody expects."""
    carried = any(
        field.type_name == f".tessera.{role}.v1.ErrorReason"
        for message in SOURCE.messages.values()
        for field in message.field
    )
    texts = " ".join(text for path, text in comments.items() if f".{role}." in path)
    unnamed = _reasons(role) - {"UNSPECIFIED"} - set(re.findall(r"\b[A-Z_]{3,}\b", texts))
    assert carried or not unnamed


@pytest.mark.parametrize("method", METHODS)
def test_mutation_with_http_takes_a_body(method):
    """A field that is neither in the path nor in a body would be dropped from JSON in silence."""
    for binding in method.bindings:
        assert binding.body == ("*" if binding.verb in {"post", "put", "patch"} else "")


@pytest.mark.parametrize("method", METHODS)
def test_every_field_of_a_request_is_bounded(method, pool):
    """Texts, lists and numbers have limits in the contract: nothing endless reaches a service."""
    unbounded = sorted(_unbounded(pool.FindMessageTypeByName(method.request), set()))
    assert unbounded == []


def _unbounded(message: descriptor.Descriptor, seen: set[str]) -> Iterator[str]:
    if message.full_name in seen or message.full_name.startswith("google."):
        return
    seen.add(message.full_name)
    for field in message.fields:
        rules: Any = field.GetOptions().Extensions[validate_pb2.field]
        if not _is_bounded(field, rules):
            yield field.full_name
        if field.message_type is not None:
            yield from _unbounded(field.message_type, seen)


def _is_bounded(field: Any, rules: Any) -> bool:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return bool(rules.map.HasField("max_pairs"))
    if field.is_repeated:
        return rules.repeated.HasField("max_items") and _is_single_bounded(
            field, rules.repeated.items
        )
    return _is_single_bounded(field, rules)


def _is_single_bounded(field: Any, rules: Any) -> bool:
    if field.type in {Field.TYPE_BOOL, Field.TYPE_MESSAGE} or rules.cel:
        return True
    if field.type == Field.TYPE_ENUM:
        return bool(rules.enum.defined_only or getattr(rules.enum, "in"))
    if field.type == Field.TYPE_STRING:
        return _is_text_bounded(rules.string)
    if field.type == Field.TYPE_BYTES:
        return any(rules.bytes.HasField(name) for name in ("len", "max_len"))
    kind = rules.WhichOneof("type")
    number = getattr(rules, kind) if kind else None
    if number is None:
        return False
    # Versions are compared and never counted with.
    above = number.WhichOneof("less_than") is not None or field.name.endswith("version")
    return (above and number.WhichOneof("greater_than") is not None) or bool(getattr(number, "in"))


def _is_text_bounded(rules: Any) -> bool:
    limits = ("const", "len", "len_bytes", "max_len", "max_bytes")
    endless = rules.pattern == "" or re.search(r"[*+]|,\}", rules.pattern) is not None
    return any(rules.HasField(name) for name in limits) or bool(getattr(rules, "in")) or not endless
