"""ProgramService: programs, and where members stand in them."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

import grpc
from google.type import date_pb2
from tessera.identity.v1 import member_pb2
from tessera.promotions.v1 import (
    campaign_pb2,
    program_pb2,
    program_service_pb2,
    program_service_pb2_grpc,
)

from services.chassis import auth, clock, database, differences, ids, timestamps
from services.promotions import errors, storage
from services.promotions.engine import programs as engine
from services.promotions.peers.identity import Identity
from services.promotions.programs.book import Book
from services.promotions.programs.counting import Counting
from services.promotions.programs.members import MemberOffer, Members
from services.promotions.storage.offers import Offer
from services.promotions.storage.programs import Program, Version
from services.promotions.storage.standings import Change
from services.promotions.wire import pages, programs, times

Context = grpc.aio.ServicerContext[Any, Any]

#: Every process keeps all versions, as standings rest on old ones.
_VERSIONS_MAX = 500
_STATES = {
    storage.programs.LIVE: program_pb2.PROGRAM_STATE_LIVE,
    storage.programs.ENDED: program_pb2.PROGRAM_STATE_ENDED,
}
_NAMES = {number: name for name, number in _STATES.items()}
_CAUSES = {
    storage.standings.PURCHASE: program_pb2.TIER_CHANGE_CAUSE_PURCHASE,
    storage.standings.RETURN: program_pb2.TIER_CHANGE_CAUSE_RETURN,
    storage.standings.TIME: program_pb2.TIER_CHANGE_CAUSE_TIME,
    storage.standings.START: program_pb2.TIER_CHANGE_CAUSE_START,
    storage.standings.TERMS: program_pb2.TIER_CHANGE_CAUSE_TERMS,
}


class ProgramServicer(program_service_pb2_grpc.ProgramServiceServicer):
    """Makes, changes and ends programs, and tells where members stand."""

    def __init__(
        self,
        db: database.Database,
        *,
        book: Book,
        counting: Counting,
        members: Members,
        identity: Identity,
        zone: tzinfo,
        currency_code: str,
        now: clock.Clock,
    ) -> None:
        self._db = db
        self._zone = zone
        self._currency_code = currency_code
        self._members = members
        self._identity = identity
        self._book = book
        self._counting = counting
        self._now = now

    async def CreateProgram(
        self, request: program_service_pb2.CreateProgramRequest, context: Context
    ) -> program_service_pb2.CreateProgramResponse:
        """Make a program."""
        self._require_currency(request.currency_code)
        _require_sound(request.rules, today=self._today())
        await _require_coupons(self._db, _rewards(request.rules))
        async with self._db.transaction() as tx:
            await storage.programs.lock_all(tx)
            made = await storage.programs.find_by_request(tx, request.request_id)
            program = made[0] if made else await self._add(tx, request)
        await self._book.refresh()
        if made is None:
            return program_service_pb2.CreateProgramResponse(program=self._show(program))
        first = program_service_pb2.CreateProgramRequest.FromString(made[1])
        if difference := differences.find_difference(first, request):
            raise errors.RequestConflict(field=difference)
        return program_service_pb2.CreateProgramResponse(program=self._show(program))

    async def _add(
        self, tx: database.Transaction, request: program_service_pb2.CreateProgramRequest
    ) -> Program:
        live = await storage.programs.live(tx)
        for other in live:
            if request.key and other.key == request.key:
                raise errors.ProgramKeyTaken(key=request.key, program_id=other.program_id)
        self._require_free(live, request.rules)
        version = await storage.programs.head(tx) + 1
        program = await storage.programs.add(
            tx,
            ids.new(storage.programs.PREFIX),
            version=version,
            rules=request.rules.SerializeToString(),
            request_id=request.request_id,
            request=request.SerializeToString(),
            key=request.key,
            now=self._now(),
        )
        if request.rules.WhichOneof("kind") == "draw":
            seed = secrets.token_bytes(engine.SEED_BYTES)
            await storage.draws.seal(tx, program.program_id, seed)
        await self._note(tx, program, storage.programs.CREATED, request.comment)
        return program

    async def UpdateProgram(
        self, request: program_service_pb2.UpdateProgramRequest, context: Context
    ) -> program_service_pb2.UpdateProgramResponse:
        """Write the next version."""
        self._require_currency(request.currency_code)
        # What lies in the past already is held against the version before.
        _require_sound(request.rules, today=date.min)
        start = None
        if request.HasField("start_date"):
            start = programs.read_date(request.start_date, field="start_date")
        async with self._db.transaction() as tx:
            await storage.programs.lock_all(tx)
            program = await self._find(tx, request.program_id)
            if program.state != storage.programs.LIVE:
                raise errors.ProgramEnded(program_id=request.program_id)
            if request.version != program.newest.version:
                raise errors.VersionConflict(version=program.newest.version)
            if len(program.versions) >= _VERSIONS_MAX:
                raise errors.ProgramVersionsFull(
                    program_id=program.program_id, versions_max=_VERSIONS_MAX
                )
            start = self._require_successor(program, request.rules, start)
            known = _rewards(program_pb2.ProgramRules.FromString(program.newest.rules))
            await _require_coupons(tx, (one for one in _rewards(request.rules) if one not in known))
            live = await storage.programs.live(tx)
            others = [one for one in live if one.program_id != program.program_id]
            self._require_free(others, request.rules)
            await storage.programs.add_version(
                tx,
                program.program_id,
                Version(request.version + 1, request.rules.SerializeToString(), start, self._now()),
                version=await storage.programs.head(tx) + 1,
            )
            program = await self._find(tx, request.program_id)
            await self._note(tx, program, storage.programs.UPDATED, request.comment)
        await self._book.refresh()
        return program_service_pb2.UpdateProgramResponse(program=self._show(program))

    def _require_successor(
        self, program: Program, sent: program_pb2.ProgramRules, start: date | None
    ) -> date:
        """Return the first day of the next version; raises ProgramInvalid with what must stay."""
        today, kind = self._today(), sent.WhichOneof("kind")
        live = program_pb2.ProgramRules.FromString(program.at(today).rules)
        if kind != live.WhichOneof("kind"):
            raise errors.ProgramInvalid(
                field=f"rules.{kind}", problem=f"the program stays {live.WhichOneof('kind')}"
            )
        made = engine.day_of(program.create_time, self._zone)
        after, present = (programs.parse_terms(one, made=made) for one in (sent, live))
        start = start or engine.earliest_start(present, after, today=today)
        for problem in engine.find_start_problems(present, after, start=start, today=today):
            raise errors.ProgramInvalid(field=problem.field, problem=problem.problem)
        held = program_pb2.ProgramRules.FromString(program.at(start).rules)
        before = programs.parse_terms(held, made=made)
        for problem in engine.find_succession_problems(before, after, start=start):
            raise errors.ProgramInvalid(
                field=f"rules.{kind}.{problem.field}", problem=problem.problem
            )
        return start

    def _require_currency(self, currency_code: str) -> None:
        if currency_code not in {"", self._currency_code}:
            raise errors.CurrencyMismatch(
                currency_code=currency_code, expected_currency_code=self._currency_code
            )

    def _require_free(self, others: Iterable[Program], sent: program_pb2.ProgramRules) -> None:
        """Raise TierTaken, PlanTaken or OfferTaken for a name that another one has or will have."""
        names, today = {tier.tier_id for tier in sent.tiers.tiers}, self._today()
        for program in others:
            program_id = program.program_id
            for version in program.since(today):
                held = program_pb2.ProgramRules.FromString(version.rules)
                for tier in held.tiers.tiers:
                    if tier.tier_id in names:
                        raise errors.TierTaken(tier_id=tier.tier_id, program_id=program_id)
                offer_id, plan_id = held.offers.offer_id, held.plan.plan_id
                if offer_id and offer_id == sent.offers.offer_id:
                    raise errors.OfferTaken(offer_id=offer_id, program_id=program_id)
                if plan_id and plan_id == sent.plan.plan_id:
                    raise errors.PlanTaken(plan_id=plan_id, program_id=program_id)

    async def _note(
        self, tx: database.Transaction, program: Program, action: str, comment: str
    ) -> None:
        """Keep what was done to a program, and let all processes know."""
        await storage.programs.CHANGES.note(
            tx,
            program.program_id,
            action,
            version=program.newest.version,
            actor_id=auth.current().client_id,
            comment=comment,
            now=self._now(),
        )
        await storage.news.announce(tx, storage.news.PROGRAMS)

    async def EndProgram(
        self, request: program_service_pb2.EndProgramRequest, context: Context
    ) -> program_service_pb2.EndProgramResponse:
        """End a program for good."""
        async with self._db.transaction() as tx:
            await storage.programs.lock_all(tx)
            version = await storage.programs.head(tx) + 1
            ended = await storage.programs.end(
                tx, request.program_id, version=version, now=self._now()
            )
            program = await self._find(tx, request.program_id)
            if ended:
                await self._note(tx, program, storage.programs.ENDED, request.comment)
        await self._book.refresh()
        return program_service_pb2.EndProgramResponse(program=self._show(program))

    async def GetProgramVersion(
        self, request: program_service_pb2.GetProgramVersionRequest, context: Context
    ) -> program_service_pb2.GetProgramVersionResponse:
        """Read any version of a program."""
        program = await self._find(self._db, request.program_id)
        if request.version > program.newest.version:
            raise errors.ProgramNotFound(program_id=request.program_id)
        found = program.versions[request.version - 1]
        return program_service_pb2.GetProgramVersionResponse(
            program_version=program_pb2.ProgramVersion(
                program_id=program.program_id,
                version=found.version,
                rules=program_pb2.ProgramRules.FromString(found.rules),
                start_date=_show_start(found),
                create_time=timestamps.show(found.create_time),
            )
        )

    async def ListProgramChanges(
        self, request: program_service_pb2.ListProgramChangesRequest, context: Context
    ) -> program_service_pb2.ListProgramChangesResponse:
        """List what was done to a program, newest first."""
        program_id, count = request.program_id, pages.count(request.page_size)
        kind = f"programChanges.{program_id}"
        before = pages.position(kind, request.page_token, pages.number)
        await self._find(self._db, program_id)
        found = await storage.programs.CHANGES.newest(
            self._db, program_id, before=before, count_max=count + 1
        )
        response = program_service_pb2.ListProgramChangesResponse(
            changes=map(_show_act, found[:count])
        )
        if len(found) > count:
            response.next_page_token = pages.token(kind, found[count - 1].change_id)
        return response

    async def GetProgram(
        self, request: program_service_pb2.GetProgramRequest, context: Context
    ) -> program_service_pb2.GetProgramResponse:
        """Read a program."""
        program = await self._find(self._db, request.program_id)
        return program_service_pb2.GetProgramResponse(program=self._show(program))

    async def ListPrograms(
        self, request: program_service_pb2.ListProgramsRequest, context: Context
    ) -> program_service_pb2.ListProgramsResponse:
        """List programs, newest first."""
        count, state = pages.count(request.page_size), _NAMES.get(request.state)
        kind = f"programs.{state or 'all'}"
        found = await storage.programs.list_newest(
            self._db,
            state=state,
            before=pages.position(
                kind, request.page_token, pages.identifier(storage.programs.PREFIX)
            ),
            count_max=count + 1,
        )
        response = program_service_pb2.ListProgramsResponse(programs=map(self._show, found[:count]))
        if len(found) > count:
            response.next_page_token = pages.token(kind, found[count - 1].program_id)
        return response

    async def GetMemberPrograms(
        self, request: program_service_pb2.GetMemberProgramsRequest, context: Context
    ) -> program_service_pb2.GetMemberProgramsResponse:
        """Read where a member stands in every live program."""
        with suppress(errors.DependencyUnavailable):  # what we know ourselves we can tell
            await self._require_known([request.member_id])
        membership = await self._members.find(request.member_id)
        challenges = await self._counting.challenges(request.member_id)
        return program_service_pb2.GetMemberProgramsResponse(
            tiers=[
                programs.show_tier(
                    one.program.program_id,
                    one.program.rules,
                    one.standing,
                    one.progress,
                    version=one.program.version,
                )
                for one in membership.tiers
            ],
            challenges=[
                programs.show_challenge(
                    one.program.program_id,
                    one.program.title,
                    one.program.rules,
                    one.reach,
                    rewarded=one.rewarded,
                )
                for one in challenges
            ],
            offers=[_show_offer(one) for one in membership.offers],
            privileges=membership.privileges,
        )

    async def AssignOffers(
        self, request: program_service_pb2.AssignOffersRequest, context: Context
    ) -> program_service_pb2.AssignOffersResponse:
        """Offer goods to members, chosen by the caller."""
        window = self._window(request)
        await self._offer_rules(request.program_id)
        chosen = {one.member_id: tuple(one.skus) for one in request.assignments}
        await self._require_known(chosen)
        await self._assign(request.program_id, chosen, window)
        return program_service_pb2.AssignOffersResponse(
            offered_count=sum(1 for skus in chosen.values() if skus)
        )

    async def ChooseOffers(
        self, request: program_service_pb2.ChooseOffersRequest, context: Context
    ) -> program_service_pb2.ChooseOffersResponse:
        """Offer members what they buy most often."""
        window = self._window(request)
        choose = engine.compile_choice(await self._offer_rules(request.program_id))
        await self._require_known(request.member_ids)
        since = engine.day_of(self._now() - timedelta(days=request.history_days), self._zone)
        chosen = {}
        for member_id in request.member_ids:
            bought = await self._counting.recall(self._db, member_id, since)
            skus = choose((one.purchase for one in bought), request.count_max)
            chosen[member_id] = tuple(skus)
        await self._assign(request.program_id, chosen, window)
        return program_service_pb2.ChooseOffersResponse(
            assignments=[
                program_service_pb2.OfferAssignment(member_id=member_id, skus=skus)
                for member_id, skus in chosen.items()
            ]
        )

    async def _require_known(self, member_ids: Iterable[str]) -> None:
        """Raise MemberUnknown with the first of the members whom identity does not know."""
        wanted = list(dict.fromkeys(member_ids))
        asked = (self._identity.find(member_pb2.MemberKey(member_id=one)) for one in wanted)
        for member_id, found in zip(
            wanted, await asyncio.gather(*asked, return_exceptions=True), strict=True
        ):
            if isinstance(found, errors.MemberUnknown):
                raise errors.MemberUnknown(**found.fields, member_id=member_id)
            if isinstance(found, BaseException):
                raise found

    def _window(
        self,
        request: program_service_pb2.AssignOffersRequest | program_service_pb2.ChooseOffersRequest,
    ) -> tuple[datetime, datetime]:
        """Return when offers begin and end; raises OfferWindow."""
        start = self._now()
        if request.HasField("start_time"):
            start = times.read(request.start_time, field="start_time")
        end = times.read(request.end_time, field="end_time")
        if start >= end:
            raise errors.OfferWindow
        return start, end

    async def _offer_rules(self, program_id: str) -> engine.OfferRules:
        """Return live offers; raises ProgramNotFound or ProgramEnded."""
        program = await self._find(self._db, program_id)
        rules = program_pb2.ProgramRules.FromString(program.at(self._today()).rules)
        if rules.WhichOneof("kind") != "offers":
            raise errors.ProgramNotFound(program_id=program_id)
        if program.state != storage.programs.LIVE:
            raise errors.ProgramEnded(program_id=program_id)
        return programs.parse_offers(rules.offers)

    async def _assign(
        self,
        program_id: str,
        chosen: Mapping[str, tuple[str, ...]],
        window: tuple[datetime, datetime],
    ) -> None:
        async with self._db.transaction() as tx:
            await storage.offers.assign(
                tx,
                [
                    Offer(member_id, program_id, chosen[member_id], *window)
                    for member_id in sorted(chosen)
                ],
            )

    async def ListTierChanges(
        self, request: program_service_pb2.ListTierChangesRequest, context: Context
    ) -> program_service_pb2.ListTierChangesResponse:
        """List a member's changes of level, newest first."""
        count, kind = pages.count(request.page_size), f"tierChanges.{request.member_id}"
        found = await storage.standings.changes(
            self._db,
            request.member_id,
            before=pages.position(kind, request.page_token, pages.number),
            count_max=count + 1,
        )
        rules = {one: await self._rules(one) for one in {step.program_id for step in found}}
        response = program_service_pb2.ListTierChangesResponse(
            changes=[_show_change(step, rules[step.program_id]) for step in found[:count]]
        )
        if len(found) > count:
            response.next_page_token = pages.token(kind, found[count - 1].sequence)
        return response

    async def _rules(self, program_id: str) -> program_pb2.TierRules:
        program = await self._find(self._db, program_id)
        return program_pb2.ProgramRules.FromString(program.newest.rules).tiers

    async def _find(self, db: database.Queryable, program_id: str) -> Program:
        program = await storage.programs.find(db, program_id)
        if program is None:
            raise errors.ProgramNotFound(program_id=program_id)
        return program

    def _today(self) -> date:
        return engine.day_of(self._now(), self._zone)

    def _show(self, program: Program) -> program_pb2.Program:
        newest = program.newest
        return program_pb2.Program(
            program_id=program.program_id,
            state=_STATES[program.state],
            rules=program_pb2.ProgramRules.FromString(newest.rules),
            create_time=timestamps.show(program.create_time),
            end_time=timestamps.show(program.end_time),
            version=newest.version,
            live_version=program.at(self._today()).version,
            start_date=_show_start(newest),
            key=program.key,
        )


async def _require_coupons(
    db: database.Queryable, rewards: Iterable[program_pb2.ProgramReward]
) -> None:
    """Raise what tells why the campaign of a reward has no coupon to give."""
    for campaign_id in [one.coupon.campaign_id for one in rewards if one.HasField("coupon")]:
        campaign = await storage.campaigns.find(db, campaign_id)
        if campaign is None:
            raise errors.CampaignNotFound(campaign_id=campaign_id)
        if campaign.state != storage.campaigns.LIVE:
            raise errors.CampaignState(campaign_id=campaign_id, state=campaign.state)
        rules = campaign_pb2.CampaignRules.FromString(campaign.rules)
        if not rules.trigger.coupon.personal:
            raise errors.CouponNotPersonal(campaign_id=campaign_id)


def _require_sound(sent: program_pb2.ProgramRules, *, today: date) -> None:
    """Raise ProgramInvalid with the first problem of the rules."""
    for problem in programs.find_problems(sent, today=today):
        raise errors.ProgramInvalid(field=f"rules.{problem.field}", problem=problem.problem)


def _rewards(sent: program_pb2.ProgramRules) -> list[program_pb2.ProgramReward]:
    return [
        sent.challenge.reward,
        sent.referral.referrer_reward,
        sent.referral.newcomer_reward,
        *(prize.reward for prize in sent.draw.prizes),
    ]


def _show_start(version: Version) -> date_pb2.Date | None:
    return None if version.start_day == date.min else programs.show_date(version.start_day)


def _show_act(act: storage.history.Change) -> program_pb2.ProgramChange:
    return program_pb2.ProgramChange(
        action=program_pb2.ProgramAction.Value(f"PROGRAM_ACTION_{act.action}"),
        version=act.version,
        actor_id=act.actor_id,
        comment=act.comment,
        change_time=timestamps.show(act.change_time),
    )


def _show_offer(one: MemberOffer) -> program_pb2.MemberOffer:
    return program_pb2.MemberOffer(
        program_id=one.program.program_id,
        offer_id=one.program.rules.offer_id,
        title=programs.show_text(one.program.title),
        skus=one.skus,
        end_time=timestamps.show(one.end_time),
    )


def _show_change(step: Change, rules: program_pb2.TierRules) -> program_pb2.TierChange:
    return program_pb2.TierChange(
        program_id=step.program_id,
        from_tier_id=rules.tiers[step.from_level].tier_id,
        to_tier_id=rules.tiers[step.to_level].tier_id,
        cause=_CAUSES[step.cause],
        receipt_id=step.receipt_id,
        change_time=timestamps.show(step.change_time),
    )
