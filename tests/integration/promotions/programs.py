"""Programs that the tests make, and what is read of them."""

import secrets
from typing import Any

from tessera.promotions.v1 import program_pb2, program_service_pb2, program_service_pb2_grpc
from tessera.type.v1 import text_pb2

from tests.integration.promotions.houses import House


def stub(house: House) -> Any:
    return program_service_pb2_grpc.ProgramServiceStub(house.channel)


def text(words: str) -> text_pb2.LocalizedText:
    return text_pb2.LocalizedText(en=words)


def ladder(
    prefix: str,
    *amounts: int,
    measure: program_pb2.Measure | None = None,
    **fields: Any,
) -> program_pb2.ProgramRules:
    """Return levels `prefix0`, `prefix1`, … at these amounts; by the year unless fields say."""
    if not fields.keys() & {"calendar", "rolling"}:
        fields["calendar"] = program_pb2.CalendarWindow(unit=program_pb2.PERIOD_UNIT_YEAR)
    return program_pb2.ProgramRules(
        title=text(f"Levels {prefix}"),
        tiers=program_pb2.TierRules(
            measure=measure or program_pb2.Measure(kind=program_pb2.MEASURE_KIND_SPEND),
            tiers=[
                program_pb2.Tier(
                    tier_id=f"{prefix}{place}",
                    title=text(f"Level {place}"),
                    from_amount=amount,
                    privileges=["priority_return"] if place else [],
                )
                for place, amount in enumerate(amounts)
            ],
            **fields,
        ),
    )


async def create(house: House, rules: program_pb2.ProgramRules) -> str:
    answer = await house.call(
        stub(house).CreateProgram,
        program_service_pb2.CreateProgramRequest(request_id=secrets.token_hex(8), rules=rules),
    )
    program_id: str = answer.program.program_id
    return program_id


async def end(house: House, program_id: str) -> None:
    await house.call(
        stub(house).EndProgram, program_service_pb2.EndProgramRequest(program_id=program_id)
    )


async def standings(house: House, member_id: str) -> dict[str, program_pb2.TierStanding]:
    """Return where a member stands, by program."""
    answer = await house.call(
        stub(house).GetMemberPrograms,
        program_service_pb2.GetMemberProgramsRequest(member_id=member_id),
    )
    return {one.program_id: one for one in answer.tiers}


async def steps(house: House, member_id: str) -> list[tuple[str, str, int]]:
    """Return a member's changes of level, oldest first: from, to, cause."""
    answer = await house.call(
        stub(house).ListTierChanges,
        program_service_pb2.ListTierChangesRequest(member_id=member_id),
    )
    return [(one.from_tier_id, one.to_tier_id, one.cause) for one in reversed(answer.changes)]


def challenge(title: str, **fields: Any) -> program_pb2.ProgramRules:
    """Return a challenge for a hundred points: five units unless fields say."""
    rules = program_pb2.ChallengeRules(
        measure=program_pb2.Measure(kind=program_pb2.MEASURE_KIND_UNITS),
        goal=5,
        reward=program_pb2.ProgramReward(points=program_pb2.RewardPoints(points=100)),
    )
    rules.MergeFrom(program_pb2.ChallengeRules(**fields))
    return program_pb2.ProgramRules(title=text(title), challenge=rules)


async def challenges(house: House, member_id: str) -> dict[str, program_pb2.ChallengeStanding]:
    """Return how far a member is, by program."""
    answer = await house.call(
        stub(house).GetMemberPrograms,
        program_service_pb2.GetMemberProgramsRequest(member_id=member_id),
    )
    return {one.program_id: one for one in answer.challenges}
