"""Identity, as promotions needs it: who the shopper is."""

import grpc
from tessera.identity.v1 import (
    member_pb2,
    member_service_pb2,
    member_service_pb2_grpc,
)

from services.chassis import errors as chassis_errors
from services.chassis import status
from services.promotions import errors
from services.promotions.peers.presence import Presence

NAME = "identity"
SERVICE = "tessera.identity.v1.MemberService"

#: Refusals of identity that say: this shopper cannot be known.
_UNKNOWN = frozenset({"MEMBER_NOT_FOUND", "CARD_BLOCKED", "PHONE_INVALID"})


class Identity:
    """Asks identity."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = member_service_pb2_grpc.MemberServiceStub(channel)
        self._presence = Presence(NAME)

    async def member(self, key: member_pb2.MemberKey) -> member_pb2.MemberContext:
        """Return what prices a member's cart.

        Raises MemberUnknown, MemberBlocked or, when there is no answer, DependencyUnavailable.
        """
        request = member_service_pb2.GetMemberContextRequest(key=key)
        try:
            response = await self._stub.GetMemberContext(request)
        except grpc.aio.AioRpcError as error:
            answer = status.read(error)
            if answer.reason in _UNKNOWN:
                raise errors.MemberUnknown(cause=answer.reason) from None
            self._presence.lost(code=answer.category.name, why=answer.message)
            raise errors.DependencyUnavailable(service=NAME) from error
        except chassis_errors.Unavailable as error:  # no token either
            self._presence.lost(code=error.reason, why=error.message)
            raise errors.DependencyUnavailable(service=NAME) from None
        self._presence.found()
        if response.context.state == member_pb2.MEMBER_STATE_BLOCKED:
            raise errors.MemberBlocked
        return response.context
