"""The scopes that exist: those that the methods of all contracts ask for."""

from importlib import resources

from google.protobuf import descriptor_pb2
from tessera.type.v1 import permission_pb2


def known() -> frozenset[str]:
    """Return every scope that some method of the platform asks for."""
    data = resources.files("tessera").joinpath("descriptors.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(data)
    scopes = {
        method.options.Extensions[permission_pb2.permission].scope
        for file in files.file
        for service in file.service
        for method in service.method
    }
    return frozenset(scopes - {""})
