"""Referrals at work: what newcomers buy moves them on, and pays both sides in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from services.chassis import database, outbox
from services.promotions import storage
from services.promotions.engine import programs
from services.promotions.programs.book import ReferralProgram
from services.promotions.storage.payouts import Payout
from services.promotions.storage.referrals import Referral
from services.promotions.wire import payouts as payouts_wire
from services.promotions.wire import programs as wire
from services.promotions.wire.batches import Terms


async def settle(
    tx: database.Queryable,
    live: Mapping[str, ReferralProgram],
    found: Sequence[Referral],
    *,
    today: date,
    now: datetime,
    terms: Terms,
) -> None:
    """Move referrals on by what their newcomers have bought; the newcomers are locked."""
    followed = [one for one in found if one.program_id in live]
    tallies = await storage.standings.tallies(
        tx, {(one.newcomer_id, one.program_id): one.claim_day for one in followed}
    )
    moved = [
        _follow(
            live[one.program_id].rules[one.program_version],
            one,
            tallies[one.newcomer_id, one.program_id],
            today=today,
        )
        for one in followed
    ]
    changed = [new for one, new in zip(followed, moved, strict=True) if new != one]
    await storage.referrals.save(tx, changed)
    rewarded = [one for one in changed if one.state == programs.ReferralState.REWARDED.name]
    payouts = [
        payout
        for one in rewarded
        for payout in _pay(
            live[one.program_id].rules[one.program_version], one, now=now, terms=terms
        )
    ]
    await storage.payouts.add(tx, payouts, now=now)
    told = [
        wire.tell_referral(
            program_id=one.program_id,
            referrer_id=one.referrer_id,
            newcomer_id=one.newcomer_id,
            now=now,
        )
        for one in rewarded
    ]
    await outbox.append(tx, *told)


def _follow(
    rules: programs.ReferralRules, one: Referral, tally: Mapping[date, int], *, today: date
) -> Referral:
    """Return where a referral is by what its newcomer has bought."""
    there = programs.follow(
        rules,
        programs.ReferralState[one.state],
        claimed=one.claim_day,
        tally=tally,
        today=today,
    )
    due = there.due
    if there.state is programs.ReferralState.CLAIMED:
        due = programs.last_chance(rules, one.claim_day)
    return replace(one, state=there.state.name, due_day=due)


def _pay(
    rules: programs.ReferralRules, one: Referral, *, now: datetime, terms: Terms
) -> list[Payout]:
    """Return what both sides get, each once for this newcomer."""
    sides = ((rules.referrer, one.referrer_id), (rules.newcomer, one.newcomer_id))
    batches = [
        payouts_wire.build_reward(
            reward,
            member_id=member_id,
            program_id=one.program_id,
            cause=("referral", one.newcomer_id),
            now=now,
            terms=terms,
        )
        for reward, member_id in sides
    ]
    return [Payout(batch.batch_id, one.program_id, batch.SerializeToString()) for batch in batches]
