"""The gRPC face of identity: contracts in, contracts out."""

from services.identity.servicer.clients import ClientServicer
from services.identity.servicer.members import MemberServicer

__all__ = ["ClientServicer", "MemberServicer"]
