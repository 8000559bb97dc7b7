"""Goals of challenges: who has reached them, and what follows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from tessera.ledger.v1 import batch_pb2

from services.chassis import database, outbox
from services.promotions import storage
from services.promotions.engine import programs
from services.promotions.programs.book import ChallengeProgram
from services.promotions.storage.payouts import Goal, Payout
from services.promotions.storage.standings import Place
from services.promotions.wire import payouts as payouts_wire
from services.promotions.wire import programs as wire
from services.promotions.wire.batches import Terms

Days = Mapping[date, int]


@dataclass(frozen=True, slots=True)
class MemberChallenge:
    """How far a member is in one challenge, and whether the reward is there."""

    program: ChallengeProgram
    reach: programs.Reach
    rewarded: bool


async def settle(
    tx: database.Queryable,
    challenges: Mapping[str, ChallengeProgram],
    receipts: Mapping[str, str],
    *,
    today: date,
    now: datetime,
    terms: Terms,
) -> None:
    """Reward members who have reached goals, and take back what goods had reached that are gone.

    `receipts` holds, by member, the purchase that was counted last. The members are locked.
    """
    places = _places(challenges, receipts)
    tallies = await storage.standings.tallies(tx, dict.fromkeys(places, date.min))
    goals = await storage.payouts.goals(tx, places)
    changed: list[Goal] = []
    batches: list[batch_pb2.Batch] = []
    for place in places:
        member_id, program_id = place
        program, goal = challenges[program_id], goals.get(place)
        reached = programs.find_reach(program.rules, tallies[place], today=today).reached
        holds = goal is not None and goal.rewarded
        if reached == holds or (holds and not program.rules.take_back):
            continue
        before = goal.attempt if goal else 0
        attempt = before if holds else before + 1
        changed.append(Goal(member_id, program_id, attempt, reached, receipts[member_id]))
        batches.append(_batch(program, member_id, attempt, reached=reached, now=now, terms=terms))
    await storage.payouts.save_goals(tx, changed, now=now)
    await storage.payouts.add(
        tx,
        [
            Payout(batch.batch_id, goal.program_id, batch.SerializeToString())
            for goal, batch in zip(changed, batches, strict=True)
        ],
        now=now,
    )
    await outbox.append(
        tx,
        *(
            wire.tell_goal(
                member_id=goal.member_id,
                program_id=goal.program_id,
                reached=goal.rewarded,
                receipt_id=goal.receipt_id,
                now=now,
            )
            for goal in changed
        ),
    )


def _batch(
    program: ChallengeProgram,
    member_id: str,
    attempt: int,
    *,
    reached: bool,
    now: datetime,
    terms: Terms,
) -> batch_pb2.Batch:
    program_id, reward, cause = program.program_id, program.rules.reward, (str(attempt),)
    if reached:
        return payouts_wire.build_reward(
            reward,
            member_id=member_id,
            program_id=program_id,
            cause=cause,
            now=now,
            terms=terms,
        )
    return payouts_wire.build_taking_back(
        reward, member_id=member_id, program_id=program_id, cause=cause, now=now, terms=terms
    )


async def find(
    db: database.Queryable,
    challenges: Mapping[str, ChallengeProgram],
    member_id: str,
    *,
    today: date,
) -> list[MemberChallenge]:
    """Return how far a member is in each challenge."""
    places = _places(challenges, [member_id])
    tallies = await storage.standings.tallies(db, dict.fromkeys(places, date.min))
    goals = await storage.payouts.goals(db, places)
    return [
        MemberChallenge(
            challenges[place[1]],
            programs.find_reach(challenges[place[1]].rules, tallies[place], today=today),
            place in goals and goals[place].rewarded,
        )
        for place in places
    ]


def _places(challenges: Mapping[str, ChallengeProgram], members: Iterable[str]) -> Sequence[Place]:
    return [(member_id, program_id) for member_id in members for program_id in challenges]
