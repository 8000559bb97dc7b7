"""MemberService: people, their cards and their segments."""

import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from tessera.identity.v1 import member_service_pb2 as messages
from tessera.identity.v1 import member_service_pb2_grpc

from services.chassis import auth, clock, ids
from services.identity import engine, errors, events, storage, vault
from services.identity.servicer import wire
from services.identity.servicer.acts import act

# Two virtual cards meet in one number about once in a lifetime; then another number is drawn.
_DRAWS_MAX = 3

T = TypeVar("T")


class MemberServicer(member_service_pb2_grpc.MemberServiceServicer):
    """Answers the calls of MemberService."""

    def __init__(
        self,
        members: storage.MemberStorage,
        contexts: storage.ContextStorage,
        box: vault.Vault,
        rules: engine.members.Rules,
        *,
        now: clock.Clock,
        nudge: Callable[[], None],
    ) -> None:
        self._storage = members
        self._contexts = contexts
        self._vault = box
        self._rules = rules
        self._now = now
        self._nudge = nudge

    async def RegisterMember(
        self, request: messages.RegisterMemberRequest, context: Any
    ) -> messages.RegisterMemberResponse:
        """Register a person."""
        told = wire.read_registration(request)
        caller = auth.current()
        if told.store_id and not caller.may_act_for(told.store_id):
            raise errors.StoreNotAllowed(store_id=told.store_id)
        named = self._name(request, caller, "RegisterMember")
        return await _draw(lambda: self._register(told, named), is_drawn=not told.card_number)

    async def _register(
        self, told: engine.members.Registration, named: engine.requests.Request
    ) -> messages.RegisterMemberResponse:
        now = self._now()
        new = engine.members.register(
            told,
            rules=self._rules,
            member_id=ids.uuid7(),
            card_id=ids.uuid7(),
            randomness=secrets.token_bytes(16),
            now=now,
        )
        response = messages.RegisterMemberResponse(member=wire.show_member(new.member))
        person = self._vault.create_person(new.member.member_id)
        answer = response.SerializeToString()
        async with self._storage.transaction() as tx:
            if answered := await tx.claim(named, person.box, answer=answer, now=now):
                return response.FromString(engine.requests.repeat(answered, named))
            await tx.insert_member(new, person)
            await tx.publish(
                events.member_registered(new.member), *map(events.card_issued, new.member.cards)
            )
        self._nudge()
        return response

    async def GetMember(
        self, request: messages.GetMemberRequest, context: Any
    ) -> messages.GetMemberResponse:
        """Read a member with contacts."""
        member = await self._storage.find_member(ids.parse(wire.MEMBER, request.member_id))
        if member is None:
            raise errors.MemberNotFound
        return messages.GetMemberResponse(member=wire.show_member(member))

    async def LookupMember(
        self, request: messages.LookupMemberRequest, context: Any
    ) -> messages.LookupMemberResponse:
        """Find a member by what the shopper shows."""
        key = wire.read_key(request.key, phone_region=self._rules.phone_region)
        found = await self._storage.find_summary(key)
        summary = engine.members.identified(found)
        return messages.LookupMemberResponse(member=wire.show_summary(summary))

    async def GetMemberContext(
        self, request: messages.GetMemberContextRequest, context: Any
    ) -> messages.GetMemberContextResponse:
        """Read what prices a member's cart."""
        key = wire.read_key(request.key, phone_region=self._rules.phone_region)
        found = await self._contexts.find(key)
        known = engine.members.identified(found)
        return messages.GetMemberContextResponse(context=wire.show_context(known))

    async def BatchGetMemberContexts(
        self, request: messages.BatchGetMemberContextsRequest, context: Any
    ) -> messages.BatchGetMemberContextsResponse:
        """Read what prices the carts of many members."""
        region = self._rules.phone_region
        keys = [wire.try_key(key, phone_region=region) for key in request.keys]
        readable = [key for key in keys if not isinstance(key, errors.IdentityRefusal)]
        answers = iter(await self._contexts.find_all(readable))
        results = [
            wire.show_refused(key)
            if isinstance(key, errors.IdentityRefusal)
            else wire.show_identified(next(answers))
            for key in keys
        ]
        return messages.BatchGetMemberContextsResponse(results=results)

    async def IssueCard(
        self, request: messages.IssueCardRequest, context: Any
    ) -> messages.IssueCardResponse:
        """Give a member one more card."""
        named = self._name(request, auth.current(), "IssueCard")
        return await _draw(
            lambda: self._issue_card(request, named), is_drawn=not request.card_number
        )

    async def _issue_card(
        self, request: messages.IssueCardRequest, named: engine.requests.Request
    ) -> messages.IssueCardResponse:
        now = self._now()
        card = engine.members.issue_card(
            request.card_number,
            rules=self._rules,
            member_id=ids.parse(wire.MEMBER, request.member_id),
            card_id=ids.uuid7(),
            randomness=secrets.token_bytes(16),
            now=now,
        )
        response = messages.IssueCardResponse(card=wire.show_card(card))
        async with self._storage.transaction() as tx:
            person = await tx.lock_person(card.member_id)
            if person is None:
                raise errors.MemberNotFound
            answer = response.SerializeToString()
            if answered := await tx.claim(named, person, answer=answer, now=now):
                return response.FromString(engine.requests.repeat(answered, named))
            await tx.insert_card(card)
            await tx.publish(events.card_issued(card))
        self._nudge()
        return response

    async def BlockCard(
        self, request: messages.BlockCardRequest, context: Any
    ) -> messages.BlockCardResponse:
        """Stop a card for good."""
        now = self._now()
        async with self._storage.transaction() as tx:
            card = await tx.lock_card(engine.cards.read_number(request.card_number))
            if card is None:
                raise errors.CardNotFound
            blocked = engine.cards.block(card)
            if blocked != card:
                await tx.block_card(card.card_id, now=now)
                await tx.record(act("card.block", ids.show(wire.CARD, card.card_id), now=now))
                await tx.publish(events.card_blocked(card, now=now))
        self._nudge()
        return messages.BlockCardResponse(card=wire.show_card(blocked))

    async def BlockMember(
        self, request: messages.BlockMemberRequest, context: Any
    ) -> messages.BlockMemberResponse:
        """Stop a member from earning and spending."""
        summary = await self._set_state(
            request.member_id, engine.members.State.BLOCKED, "member.block", request.cause
        )
        return messages.BlockMemberResponse(member=wire.show_summary(summary))

    async def UnblockMember(
        self, request: messages.UnblockMemberRequest, context: Any
    ) -> messages.UnblockMemberResponse:
        """Let a blocked member earn and spend again."""
        summary = await self._set_state(
            request.member_id, engine.members.State.ACTIVE, "member.unblock", request.cause
        )
        return messages.UnblockMemberResponse(member=wire.show_summary(summary))

    async def _set_state(
        self, member_id: str, state: engine.members.State, action: str, cause: str
    ) -> engine.members.Summary:
        async with self._storage.transaction() as tx:
            summary = await tx.lock_summary(ids.parse(wire.MEMBER, member_id))
            if summary is None:
                raise errors.MemberNotFound
            changed = engine.members.with_state(summary, state)
            if changed != summary:
                await tx.set_state(summary.member_id, state)
                await tx.record(act(action, member_id, {"cause": cause}, now=self._now()))
            return changed

    async def UpdateSegment(
        self, request: messages.UpdateSegmentRequest, context: Any
    ) -> messages.UpdateSegmentResponse:
        """Put members into a segment and take others out."""
        now = self._now()
        asked = engine.members.change_segment(
            add=_member_ids(request.add_member_ids), remove=_member_ids(request.remove_member_ids)
        )
        async with self._storage.transaction() as tx:
            if unknown := await tx.find_unknown([*asked.enter, *asked.leave]):
                raise errors.MemberNotFound(member_id=ids.show(wire.MEMBER, unknown))
            await tx.lock_segment(request.segment_id, now=now)
            entered = await tx.enter_segment(request.segment_id, asked.enter, now=now)
            left = await tx.leave_segment(request.segment_id, asked.leave)
            counts = {"added_count": len(entered), "removed_count": len(left)}
            await tx.record(act("segment.update", request.segment_id, counts, now=now))
            changes = [(member, True) for member in entered] + [(member, False) for member in left]
            await tx.publish(
                *(
                    events.segment_changed(member, request.segment_id, entered=entered, now=now)
                    for member, entered in changes
                )
            )
        self._nudge()
        return messages.UpdateSegmentResponse(**counts)

    def _name(self, request: Any, caller: auth.Caller, method: str) -> engine.requests.Request:
        return wire.read_request(
            request,
            client_id=caller.client_id,
            method=method,
            fingerprint=self._vault.fingerprint,
        )


async def _draw(attempt: Callable[[], Awaitable[T]], *, is_drawn: bool) -> T:
    """Return what the attempt makes; when its card number was drawn and taken, draw again."""
    for _ in range(_DRAWS_MAX - 1 if is_drawn else 0):
        try:
            return await attempt()
        except errors.CardTaken:
            continue
    return await attempt()


def _member_ids(texts: Iterable[str]) -> list[UUID]:
    return [ids.parse(wire.MEMBER, text) for text in texts]
