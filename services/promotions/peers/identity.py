"""Identity, as promotions needs it: who the shopper is."""

import grpc
import structlog
from tessera.identity.v1 import (
    member_pb2,
    member_service_pb2,
    member_service_pb2_grpc,
)

from services.chassis import errors as chassis_errors
from services.chassis import status
from services.promotions import errors

SERVICE = "tessera.identity.v1.MemberService"

#: Refusals of identity that say: this shopper cannot be known.
_UNKNOWN = frozenset({"MEMBER_NOT_FOUND", "CARD_BLOCKED", "PHONE_INVALID"})

log = structlog.get_logger()


class Identity:
    """Asks identity."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_s: float) -> None:
        self._stub = member_service_pb2_grpc.MemberServiceStub(channel)
        self._timeout_s = timeout_s

    async def member(self, key: member_pb2.MemberKey) -> member_pb2.MemberContext:
        """Return what prices a member's cart.

        Raises MemberUnknown, MemberBlocked or, when there is no answer, DependencyUnavailable.
        """
        request = member_service_pb2.GetMemberContextRequest(key=key)
        try:
            response = await self._stub.GetMemberContext(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            answer = status.read(error)
            if answer.reason in _UNKNOWN:
                raise errors.MemberUnknown(cause=answer.reason) from None
            log.warning("identity does not answer", code=answer.category.name, why=answer.message)
            raise errors.DependencyUnavailable(service="identity") from error
        except chassis_errors.Unavailable:  # no token either
            raise errors.DependencyUnavailable(service="identity") from None
        if response.context.state == member_pb2.MEMBER_STATE_BLOCKED:
            raise errors.MemberBlocked
        return response.context
