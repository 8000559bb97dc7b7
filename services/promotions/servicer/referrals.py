"""ReferralService: members who bring others."""

import secrets
from datetime import tzinfo
from typing import Any

import grpc
from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import (
    program_pb2,
    referral_service_pb2,
    referral_service_pb2_grpc,
)

from services.chassis import clock, database, timestamps
from services.chassis import errors as chassis_errors
from services.promotions import errors, storage
from services.promotions.engine import programs as engine
from services.promotions.peers.identity import Identity
from services.promotions.storage.referrals import Referral
from services.promotions.wire import programs

Context = grpc.aio.ServicerContext[Any, Any]

#: Without 0 and O, 1, I and L.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
_CODE_LENGTH = 8
_TRIES_MAX = 5
_LIST_MAX = 100


class ReferralServicer(referral_service_pb2_grpc.ReferralServiceServicer):
    """Hands out codes and notes who came by them."""

    def __init__(
        self, db: database.Database, identity: Identity, *, zone: tzinfo, now: clock.Clock
    ) -> None:
        self._db = db
        self._identity = identity
        self._zone = zone
        self._now = now

    async def IssueReferralCode(
        self, request: referral_service_pb2.IssueReferralCodeRequest, context: Context
    ) -> referral_service_pb2.IssueReferralCodeResponse:
        """Return a member's code, made at the first call."""
        await self._rules(self._db, request.program_id)
        await self._identity.member(member_pb2.MemberKey(member_id=request.member_id))
        for _ in range(_TRIES_MAX):
            fresh = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
            code = await storage.referrals.code_of(
                self._db, request.program_id, request.member_id, fresh=fresh
            )
            if code is not None:
                return referral_service_pb2.IssueReferralCodeResponse(code=code)
        raise chassis_errors.Contention

    async def ClaimReferral(
        self, request: referral_service_pb2.ClaimReferralRequest, context: Context
    ) -> referral_service_pb2.ClaimReferralResponse:
        """Note that a newcomer came by a code."""
        owner = await storage.referrals.owner_of(self._db, request.code.upper())
        if owner is None:
            raise errors.ReferralCodeUnknown
        program_id, referrer_id = owner
        newcomer_id = request.newcomer_id
        if newcomer_id == referrer_id:
            raise errors.ReferralSelf
        version, rules = await self._rules(self._db, program_id)
        key = member_pb2.MemberKey(member_id=newcomer_id)
        is_new = not (await self._identity.member(key)).purchase_count
        await self._identity.member(member_pb2.MemberKey(member_id=referrer_id))
        async with self._db.transaction() as tx:
            await storage.standings.lock_members(tx, [newcomer_id, referrer_id])
            known = {
                one.newcomer_id: one
                for one in await storage.referrals.of_newcomers(tx, [newcomer_id, referrer_id])
            }
            found = known.get(newcomer_id)
            if found is not None:
                if (found.program_id, found.referrer_id) != owner:
                    raise errors.ReferralClaimed
                return referral_service_pb2.ClaimReferralResponse(referral=_show(found))
            if referrer_id in known and known[referrer_id].referrer_id == newcomer_id:
                raise errors.ReferralSelf  # two who bring each other bring nobody
            if not is_new or await storage.referrals.has_bought(tx, newcomer_id):
                raise errors.ReferralNotNew
            now = self._now()
            today = engine.day_of(now, self._zone)
            made = Referral(
                newcomer_id,
                program_id,
                referrer_id,
                storage.referrals.CLAIMED,
                today,
                engine.last_chance(rules, today),
                now,
                version,
            )
            await self._add(tx, rules, made)
        return referral_service_pb2.ClaimReferralResponse(referral=_show(made))

    async def _add(
        self, tx: database.Transaction, rules: engine.ReferralRules, new: Referral
    ) -> None:
        bound = rules.referrals_max
        open_ = await storage.referrals.count_open(
            tx, new.referrer_id, new.program_id, today=new.claim_day
        )
        if bound and open_ >= bound:
            raise errors.ReferralLimit(referrals_max=bound)
        await storage.referrals.add(tx, new)

    async def ListReferrals(
        self, request: referral_service_pb2.ListReferralsRequest, context: Context
    ) -> referral_service_pb2.ListReferralsResponse:
        """List whom a member has brought, newest first."""
        found = await storage.referrals.of_referrer(
            self._db, request.member_id, count_max=_LIST_MAX
        )
        return referral_service_pb2.ListReferralsResponse(referrals=map(_show, found))

    async def _rules(
        self, db: database.Queryable, program_id: str
    ) -> tuple[int, engine.ReferralRules]:
        """Return the live version of referrals; raises ProgramNotFound or ProgramEnded."""
        program = await storage.programs.find(db, program_id)
        if program is None:
            raise errors.ProgramNotFound(program_id=program_id)
        live = program.at(engine.day_of(self._now(), self._zone))
        rules = program_pb2.ProgramRules.FromString(live.rules)
        if rules.WhichOneof("kind") != "referral":
            raise errors.ProgramNotFound(program_id=program_id)
        if program.state != storage.programs.LIVE:
            raise errors.ProgramEnded(program_id=program_id)
        return live.version, programs.parse_referral(rules.referral)


def _show(one: Referral) -> referral_service_pb2.Referral:
    return referral_service_pb2.Referral(
        program_id=one.program_id,
        referrer_id=one.referrer_id,
        newcomer_id=one.newcomer_id,
        state=referral_service_pb2.ReferralState.Value(f"REFERRAL_STATE_{one.state}"),
        create_time=timestamps.show(one.create_time),
    )
