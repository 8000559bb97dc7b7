"""Compile the contracts: Python stubs, descriptor sets, and the inputs of the contract checks."""

import importlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
DESCRIPTORS = PROTOS / "tessera" / "descriptors.binpb"
_GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
_VALIDATE = "buf/validate/validate.proto"


class GenerationError(Exception):
    """The protocol compiler refused the contracts; its own messages are on stderr."""


def sources() -> list[str]:
    """Return the paths of our contracts, relative to `protos/`, sorted."""
    return sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "tessera").rglob("*.proto"))


def generate() -> int:
    """Replace every generated file under `protos/`; return how many contracts were compiled."""
    contracts = sources()
    _remove_generated()
    validate = PROTOS / "buf" / "validate.binpb"
    validate.parent.mkdir(exist_ok=True)
    validate.write_bytes(_validation_descriptors())
    outputs = [f"--{plugin}_out={PROTOS}" for plugin in ("python", "grpc_python")]
    types = [f"--{plugin}_out=quiet:{PROTOS}" for plugin in ("mypy", "mypy_grpc")]
    _compile(validate, [outputs[0], types[0], _VALIDATE])
    _compile(
        validate,
        [
            *outputs,
            *types,
            f"--descriptor_set_out={DESCRIPTORS}",
            "--include_imports",
            *contracts,
        ],
    )
    return len(contracts)


def compile_image(target: Path, protos: Path = PROTOS) -> None:
    """Write a descriptor set with comments and imports, the input of `buf`."""
    contracts = sorted(
        str(path.relative_to(protos)) for path in (protos / "tessera").rglob("*.proto")
    )
    arguments = [f"--descriptor_set_out={target}", "--include_imports", "--include_source_info"]
    with tempfile.TemporaryDirectory() as scratch:
        validate = Path(scratch) / "validate.binpb"
        validate.write_bytes(_validation_descriptors())
        _compile(validate, [*arguments, *contracts], protos)


def _compile(validate: Path, arguments: Sequence[str], protos: Path = PROTOS) -> None:
    google = Path(next(iter(importlib.import_module("google.api").__path__))).parent.parent
    well_known = Path(importlib.import_module("grpc_tools").__path__[0]) / "_proto"
    command = [
        "protoc",
        f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
        f"--descriptor_set_in={validate}",
        f"-I{protos}",
        f"-I{google}",
        f"-I{well_known}",
        *arguments,
    ]
    if protoc.main(command) != 0:
        raise GenerationError("protoc refused the contracts; see its messages above")


def _validation_descriptors() -> bytes:
    """Return `buf/validate/validate.proto` with its imports: only protovalidate has it."""
    module = importlib.import_module("protovalidate._gen.buf.validate.validate_pb")
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: ModuleType) -> None:
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in seen:
            seen.add(file.name)
            added = files.file.add()
            added.ParseFromString(file.proto.to_binary())
            if file.name == _VALIDATE:  # the wheel renames it: the jar of protovalidate has this
                added.options.java_package = "build.buf.validate"

    add(module._DESC)  # noqa: SLF001  the wheel offers no public way to its descriptor
    return files.SerializeToString()


def _remove_generated() -> None:
    shutil.rmtree(PROTOS / "buf", ignore_errors=True)
    for path in (PROTOS / "tessera").rglob("*"):
        if path.name.endswith(_GENERATED) or path.suffix == ".binpb":
            path.unlink()
