"""What a contract says besides its messages: deadlines, retries, and who may call."""

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from google.protobuf import descriptor
from tessera.type.v1 import permission_pb2

#: The deadline of methods for which no contract names one, in seconds.
DEFAULT_TIMEOUT_S = 10.0


@functools.cache
def service_config(service: str) -> Mapping[str, Any]:
    """Return the gRPC service config that lies beside a service's contract.

    A contract that was compiled at run time has no package and therefore an empty config.
    """
    package = service.rpartition(".")[0]
    try:
        folder = resources.files(package)
    except ModuleNotFoundError:
        return {}
    text = folder.joinpath("service_config.json").read_text(encoding="utf-8")
    config: Mapping[str, Any] = json.loads(text)
    return config


def timeout_s(service: str, method: str) -> float:
    """Return the deadline that the contract gives a method, in seconds.

    The most specific name wins, as gRPC has it: the method, then its service, then all.
    """
    best, rank = DEFAULT_TIMEOUT_S, -1
    for entry in service_config(service).get("methodConfig", ()):
        for name in entry.get("name", ()):
            asked, owned = name.get("method", ""), name.get("service", "")
            if asked in {"", method} and owned in {"", service} and "timeout" in entry:
                specificity = bool(owned) + bool(asked)
                if specificity > rank:
                    best, rank = float(entry["timeout"].removesuffix("s")), specificity
    return best


def scope(method: descriptor.MethodDescriptor) -> str | None:
    """Return the scope that a caller of the method needs; None for public methods.

    Raises ValueError when the contract says neither a scope nor that the method is public.
    """
    options = method.GetOptions()
    permission = options.Extensions[permission_pb2.permission]
    if permission.public == bool(permission.scope):
        raise ValueError(f"{method.full_name}: its contract must name a scope or say public")
    return None if permission.public else permission.scope
