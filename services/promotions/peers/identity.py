"""Identity, as promotions needs it: who the shopper is."""

from collections.abc import Sequence

import grpc
from tessera.identity.v1 import (
    error_reason_pb2,
    member_pb2,
    member_service_pb2,
    member_service_pb2_grpc,
)

from services.chassis import errors as chassis_errors
from services.chassis import status
from services.promotions import errors
from services.promotions.gathering import Gatherer
from services.promotions.peers.presence import Presence
from services.promotions.peers.waiting import in_time

NAME = "identity"
SERVICE = "tessera.identity.v1.MemberService"

_KEYS_MAX = 200

Result = member_service_pb2.MemberContextResult


class Identity:
    """Asks identity. What is in flight at the same time shares calls.

    `run` belongs into the background of the server.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = member_service_pb2_grpc.MemberServiceStub(channel)
        self._presence = Presence(NAME)
        self._reads: Gatherer[member_pb2.MemberKey, Result] = Gatherer(
            self._read, weight_max=_KEYS_MAX
        )

    async def run(self) -> None:
        """Carry calls until cancelled."""
        await self._reads.run()

    async def member(self, key: member_pb2.MemberKey) -> member_pb2.MemberContext:
        """Return what prices a member's cart.

        Raises MemberUnknown, MemberBlocked or, when there is no answer, DependencyUnavailable.
        """
        context = await self.find(key)
        if context.state == member_pb2.MEMBER_STATE_BLOCKED:
            raise errors.MemberBlocked
        return context

    async def find(self, key: member_pb2.MemberKey) -> member_pb2.MemberContext:
        """Return the member behind a key, blocked or not; raises what `member` raises."""
        result = await in_time(self._reads.ask(key), service=NAME)
        outcome = result.WhichOneof("outcome")
        if outcome == "refusal":
            raise errors.MemberUnknown(cause=_cause(result.refusal))
        if outcome is None:
            raise errors.DependencyUnavailable(service=NAME)
        return result.context

    async def _read(self, keys: list[member_pb2.MemberKey]) -> Sequence[Result]:
        request = member_service_pb2.BatchGetMemberContextsRequest(keys=keys)
        try:
            response = await self._stub.BatchGetMemberContexts(request)
        except grpc.aio.AioRpcError as error:
            raise self._presence.unanswered(status.read(error)) from error
        except chassis_errors.Unavailable as error:  # no token either
            self._presence.lost(code=error.reason, why=error.message)
            raise errors.DependencyUnavailable(service=NAME) from None
        self._presence.found()
        return list(response.results)


def _cause(refusal: error_reason_pb2.ErrorReason.ValueType) -> str:
    return error_reason_pb2.ErrorReason.Name(refusal).removeprefix("ERROR_REASON_")
