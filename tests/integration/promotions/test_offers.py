"""Personal offers: goods of one's own, for a while, in any campaign."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from tessera.promotions.v1 import (
    program_pb2,
    program_service_pb2,
)

from tests.integration.promotions import programs, promises
from tests.integration.promotions.houses import cart_of, line, stamp

Request = program_service_pb2
NOTHING = "prg_" + "0" * 32


def rules(offer_id, **fields):
    return program_pb2.ProgramRules(
        title=programs.text("For you"), offers=program_pb2.OfferRules(offer_id=offer_id, **fields)
    )


@pytest.fixture
async def offered(house):
    """A program of offers with a name of its own, and half off what it offers."""
    name = "o" + secrets.token_hex(4)
    program_id = await programs.create(house, rules(name))
    half = promises.percent_off(5_000)
    half.rewards[0].target.tags.append(f"offer:{name}")
    (campaign_id,) = await house.publish(half)
    yield program_id
    await house.end(campaign_id)
    await programs.end(house, program_id)


@pytest.fixture
async def member(house):
    return await house.register()


def assignment(program_id, *, days=(0, 7), **skus_by_member):
    now = datetime.now(UTC)
    return Request.AssignOffersRequest(
        program_id=program_id,
        assignments=[
            Request.OfferAssignment(member_id=member_id, skus=skus)
            for member_id, skus in skus_by_member.items()
        ],
        start_time=stamp(now + timedelta(days=days[0]) - timedelta(seconds=5)),
        end_time=stamp(now + timedelta(days=days[1])),
    )


async def assign(house, program_id, **fields):
    request = assignment(program_id, **fields)
    return (await house.call(programs.stub(house).AssignOffers, request)).offered_count


def basket(member):
    """Bread, and something that no catalogue knows."""
    return cart_of(line("1", "bread", 1_000), line("2", "strange", 500, 2_000), member_id=member)


async def shown(house, member):
    return await house.call(
        programs.stub(house).GetMemberPrograms, Request.GetMemberProgramsRequest(member_id=member)
    )


async def test_goods_are_cheaper_for_whom_they_were_chosen(house, offered, member):
    """For others they cost what they cost; new goods take the place of the old ones."""
    other = await house.register()
    assert await assign(house, offered, **{member: ["strange", "milk"], other: ["milk"]}) == 2
    assert (await house.evaluate(basket(member))).discount_minor == 500
    assert (await house.evaluate(basket(other))).discount_minor == 0
    (offer,) = (await shown(house, member)).offers
    assert (offer.program_id, list(offer.skus)) == (offered, ["strange", "milk"])
    await assign(house, offered, **{member: ["bread"]})
    receipt = await house.buy(basket(member))
    assert receipt.evaluation.discount_minor == 500
    assert receipt.evaluation.lines[0].discount_minor == 500
    assert await assign(house, offered, **{member: []}) == 0
    assert (await house.evaluate(basket(member))).discount_minor == 0
    # What was bought at its price comes back at its price, though it is offered no longer.
    returned = await house.give_back(receipt, **{"2": 1_000})
    assert returned.refund_minor == 500
    assert returned.remaining.lines[0].discount_minor == 500


async def test_offers_have_their_time(house, offered, member):
    """Not before it and not after it."""
    await assign(house, offered, days=(1, 2), **{member: ["bread"]})
    assert (await house.evaluate(basket(member))).discount_minor == 0
    await assign(house, offered, days=(-2, -1), **{member: ["bread"]})
    assert (await house.evaluate(basket(member))).discount_minor == 0
    assert list((await shown(house, member)).offers) == []


async def test_what_is_bought_most_often_is_offered(house, offered, member):
    """On two receipts before one, and never what came back."""
    await house.buy(cart_of(line("1", "milk", 100), member_id=member))
    receipt = await house.buy(
        cart_of(line("1", "milk", 100), line("2", "bread", 900), member_id=member)
    )
    await house.buy(cart_of(line("1", "strange", 100), member_id=member))
    await house.give_back(receipt, **{"2": 1_000})
    nobody = await house.register()
    request = Request.ChooseOffersRequest(
        program_id=offered,
        member_ids=[nobody, member],
        history_days=30,
        count_max=2,
        end_time=stamp(datetime.now(UTC) + timedelta(days=7)),
    )
    answer = await house.call(programs.stub(house).ChooseOffers, request)
    assert [(one.member_id, list(one.skus)) for one in answer.assignments] == [
        (nobody, []),
        (member, ["milk", "strange"]),
    ]
    assert (await house.evaluate(basket(member))).discount_minor == 500


async def test_privileges_of_levels_and_plans_are_shown_together(house, member):
    """At the till and in the member's programs."""
    levels = await programs.create(house, programs.ladder("w", 0, 500))
    await house.buy(cart_of(line("1", "bread", 500), member_id=member))
    offer = await house.evaluate(basket(member))
    assert list(offer.privileges) == ["priority_return"]
    assert list((await shown(house, member)).privileges) == ["priority_return"]
    await programs.end(house, levels)
    assert list((await house.evaluate(basket(member))).privileges) == []


async def test_refusals(house, offered, member):
    """Nothing is offered by a call that is refused."""
    stub = programs.stub(house)
    late = assignment(offered, days=(2, 1), **{member: ["bread"]})
    assert (await house.refusal(stub.AssignOffers, late)).reason == "OFFER_WINDOW"
    nobody = "mem_" + "0" * 32
    strangers = assignment(offered, **{member: ["bread"], nobody: ["bread"]})
    about = Request.GetMemberProgramsRequest(member_id=nobody)
    for method, request in ((stub.AssignOffers, strangers), (stub.GetMemberPrograms, about)):
        said = await house.refusal(method, request)
        assert (said.reason, said.metadata["member_id"]) == ("MEMBER_UNKNOWN", nobody)
    assert not (await shown(house, member)).offers
    nowhere = assignment(NOTHING, **{member: ["bread"]})
    assert (await house.refusal(stub.AssignOffers, nowhere)).reason == "PROGRAM_NOT_FOUND"
    levels = await programs.create(house, programs.ladder("x", 0))
    wrong = assignment(levels, **{member: ["bread"]})
    assert (await house.refusal(stub.AssignOffers, wrong)).reason == "PROGRAM_NOT_FOUND"
    await programs.end(house, levels)
    gone = await programs.create(house, rules("gone"))
    again = Request.CreateProgramRequest(request_id=secrets.token_hex(8), rules=rules("gone"))
    said = await house.refusal(stub.CreateProgram, again)
    assert (said.reason, said.metadata["program_id"]) == ("OFFER_TAKEN", gone)
    await programs.end(house, gone)
    ended = assignment(gone, **{member: ["bread"]})
    assert (await house.refusal(stub.AssignOffers, ended)).reason == "PROGRAM_ENDED"
    choose = Request.ChooseOffersRequest(
        program_id=NOTHING,
        member_ids=[member],
        history_days=1,
        count_max=1,
        end_time=stamp(datetime.now(UTC) + timedelta(days=1)),
    )
    assert (await house.refusal(stub.ChooseOffers, choose)).reason == "PROGRAM_NOT_FOUND"
    assert list((await shown(house, member)).offers) == []
