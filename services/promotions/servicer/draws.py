"""DrawService: prize draws that anybody can check."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Any

import grpc
from tessera.promotions.v1 import draw_service_pb2, draw_service_pb2_grpc, program_pb2

from services.chassis import clock, database, timestamps
from services.promotions import errors, storage
from services.promotions.engine import programs as engine
from services.promotions.programs.payouts import Payouts
from services.promotions.storage.draws import Draw, Entry
from services.promotions.storage.payouts import Payout
from services.promotions.storage.programs import Program
from services.promotions.wire import pages, programs
from services.promotions.wire import payouts as payouts_wire
from services.promotions.wire.batches import Terms

Context = grpc.aio.ServicerContext[Any, Any]


class DrawServicer(draw_service_pb2_grpc.DrawServiceServicer):
    """Draws winners and shows how."""

    def __init__(
        self, db: database.Database, terms: Terms, *, payouts: Payouts, now: clock.Clock
    ) -> None:
        self._db = db
        self._terms = terms
        self._zone: tzinfo = terms.zone
        self._payouts = payouts
        self._now = now

    async def GetDraw(
        self, request: draw_service_pb2.GetDrawRequest, context: Context
    ) -> draw_service_pb2.GetDrawResponse:
        """Read a draw."""
        found = await storage.draws.find(self._db, request.program_id)
        if found is None:
            raise errors.ProgramNotFound(program_id=request.program_id)
        return draw_service_pb2.GetDrawResponse(draw=await self._show(request.program_id, found))

    async def RunDraw(
        self, request: draw_service_pb2.RunDrawRequest, context: Context
    ) -> draw_service_pb2.RunDrawResponse:
        """Draw the winners, once."""
        program_id = request.program_id
        async with self._db.transaction() as tx:
            found = await storage.draws.lock(tx, program_id)
            if found is None:
                raise errors.ProgramNotFound(program_id=program_id)
            if found.draw_time is None:
                await self._draw(tx, program_id, found)
        self._payouts.nudge()
        drawn = await storage.draws.find(self._db, program_id)
        assert drawn is not None
        return draw_service_pb2.RunDrawResponse(draw=await self._show(program_id, drawn))

    async def _draw(self, tx: database.Transaction, program_id: str, sealed: Draw) -> None:
        rules, now = await self._rules(tx, program_id), self._now()
        if engine.day_of(now, self._zone) < rules.ready:
            raise errors.DrawTooEarly(ready_date=rules.ready.isoformat())
        counted = await storage.draws.counted(tx, program_id, first=rules.first, last=rules.last)
        # Beside the calls in flight: a large chain draws among hundreds of thousands.
        drawn, list_hash = await asyncio.to_thread(_find_winners, rules, sealed.seed, counted)
        await storage.draws.close(tx, program_id, drawn, list_hash=list_hash, now=now)
        await storage.payouts.add(tx, self._pay(program_id, rules, drawn), now=now)

    def _pay(
        self, program_id: str, rules: engine.DrawRules, drawn: Sequence[Entry]
    ) -> list[Payout]:
        """Return what the ledger gives to winners; other prizes somebody hands over."""
        payouts = []
        for one in drawn:
            if one.place is None:
                continue
            reward = rules.prizes[rules.prizes_in_order[one.place]].reward
            if reward is not None:
                batch = payouts_wire.build_reward(
                    reward,
                    member_id=one.member_id,
                    program_id=program_id,
                    cause=("draw", str(one.place)),
                    now=self._now(),
                    terms=self._terms,
                )
                payouts.append(Payout(batch.batch_id, program_id, batch.SerializeToString()))
        return payouts

    async def ListDrawEntries(
        self, request: draw_service_pb2.ListDrawEntriesRequest, context: Context
    ) -> draw_service_pb2.ListDrawEntriesResponse:
        """List the tickets of a draw, in the order of receipts."""
        program_id, count = request.program_id, pages.count(request.page_size)
        if await storage.draws.find(self._db, program_id) is None:
            raise errors.ProgramNotFound(program_id=program_id)
        kind = f"drawEntries.{program_id}"
        found = await storage.draws.entries(
            self._db,
            program_id,
            after=pages.position(kind, request.page_token, pages.identifier(storage.keys.PREFIX)),
            count_max=count + 1,
        )
        response = draw_service_pb2.ListDrawEntriesResponse(
            entries=[
                draw_service_pb2.DrawEntry(receipt_id=one.receipt_id, tickets=one.tickets)
                for one in found[:count]
            ]
        )
        if len(found) > count:
            response.next_page_token = pages.token(kind, found[count - 1].receipt_id)
        return response

    async def _rules(self, db: database.Queryable, program_id: str) -> engine.DrawRules:
        """Return the rules of a draw; raises ProgramEnded."""
        program = await storage.programs.find(db, program_id)
        assert program is not None
        if program.state != storage.programs.LIVE:
            raise errors.ProgramEnded(program_id=program_id)
        return self._live_rules(program)

    def _live_rules(self, program: Program) -> engine.DrawRules:
        live = program.at(engine.day_of(self._now(), self._zone))
        return programs.parse_draw(program_pb2.ProgramRules.FromString(live.rules).draw)

    async def _show(self, program_id: str, found: Draw) -> draw_service_pb2.Draw:
        shown = draw_service_pb2.Draw(
            program_id=program_id,
            seed_hash=engine.seal(found.seed),
            list_hash=found.list_hash or "",
            draw_time=timestamps.show(found.draw_time),
        )
        if found.draw_time is None:
            return shown
        shown.seed = found.seed.hex()
        program = await storage.programs.find(self._db, program_id)
        assert program is not None
        rules = self._live_rules(program)
        for one in await storage.draws.winners(self._db, program_id):
            assert one.place is not None
            shown.winners.append(
                draw_service_pb2.DrawWinner(
                    receipt_id=one.receipt_id,
                    member_id=one.member_id,
                    prize_index=rules.prizes_in_order[one.place],
                )
            )
        return shown


def _find_winners(
    rules: engine.DrawRules, seed: bytes, counted: Sequence[Entry]
) -> tuple[list[Entry], str]:
    """Return the receipts that have tickets with what they win, and the hash of their list."""
    listed = [
        replace(one, tickets=one.tickets // rules.per_ticket)
        for one in counted
        if one.tickets >= rules.per_ticket
    ]
    entries = [engine.Entry(one.receipt_id, one.tickets) for one in listed]
    winners = engine.draw(seed, entries, count=len(rules.prizes_in_order))
    places = {receipt_id: place for place, receipt_id in enumerate(winners)}
    drawn = [replace(one, place=places.get(one.receipt_id)) for one in listed]
    return drawn, engine.digest(entries)
