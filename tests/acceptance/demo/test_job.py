"""The main job in small: replayed, proven, continued, and proven again with processes killed.

The tests build on one another: each replays more of the same year on the same stack.
"""

import asyncio
import time

import pytest
from tessera.identity.v1 import member_service_pb2
from tessera.ledger.v1 import account_pb2, batch_pb2, ledger_service_pb2
from tessera.promotions.v1 import campaign_pb2, campaign_service_pb2
from tessera.type.v1 import text_pb2

from services.chassis import ids
from tools.demo import job, reading, session
from tools.demo.job import Gateway, Options, Outcome, Unsuitable
from tools.example.command import example
from tools.stack import lifecycle
from tools.stack.composition import Composition

FIRST, LATER = 120, 320
VICTIMS = ("ledger", "promotions", "identity")
PATIENCE_S = 120


def ignore(name: str, done: int, total: int) -> None:
    """Show no progress."""


def failures(outcome: Outcome) -> list[str]:
    return [f"{check.name}: {check.figures}" for check in outcome.checks if not check.passed]


async def test_a_part_of_the_year_is_proven(own_gateway: Gateway) -> None:
    """The chain is loaded, receipts are replayed, and every check passes.

    A shop that somebody has tried the platform with is in nobody's way.
    """
    await asyncio.to_thread(
        example,
        gateway=own_gateway.address,
        client=own_gateway.admin.client_id,
        secret_file=own_gateway.admin.secret_file,
    )
    outcome = await job.perform(own_gateway, Options(receipts=FIRST, workers=8), ignore)
    assert failures(outcome) == []
    assert not outcome.was_loaded
    assert outcome.receipts.receipts.height > FIRST * 0.9
    assert outcome.journal.returns
    assert len(outcome.checks) >= 12


async def test_a_second_run_finds_everything_done(own_gateway: Gateway) -> None:
    """Nothing is loaded or recorded twice, and the proof still holds."""
    outcome = await job.perform(own_gateway, Options(receipts=FIRST, workers=8), ignore)
    assert failures(outcome) == []
    assert outcome.was_loaded
    assert outcome.journal.found == outcome.receipts.receipts.height


async def test_killed_services_change_nothing(own_gateway: Gateway, own_stack: Composition) -> None:
    """`kill -9` of one service after another during the replay: tills repeat, the proof holds."""
    reached = 0

    def listen(name: str, done: int, _: int) -> None:
        nonlocal reached
        if name == "replay":
            reached = done

    async def reach(count: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while reached < count:
            assert time.monotonic() < until, "the replay does not go on"
            await asyncio.sleep(0.02)

    async def kill() -> None:
        for place, victim in enumerate(VICTIMS, start=1):
            await reach(FIRST + place * (LATER - FIRST) // (len(VICTIMS) + 1))
            rows = lifecycle.processes(own_stack.layout) or []
            next(row for row in rows if row.name == victim).kill()

    options = Options(receipts=LATER, workers=4)
    outcome, _ = await asyncio.gather(job.perform(own_gateway, options, listen), kill())
    assert failures(outcome) == []
    assert sum(one.retries for one in outcome.timings) > 0


async def test_points_of_others_do_not_disturb(own_gateway: Gateway) -> None:
    """A member whom the demo does not know gets points; the sums still come to zero."""
    async with session.connect(own_gateway.address, own_gateway.admin) as admin:
        made = await admin.ask(
            "RegisterMember",
            admin.members.RegisterMember,
            member_service_pb2.RegisterMemberRequest(
                request_id="somebody-else", card_number="5550001"
            ),
        )
        world = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id="issuance")
        credit = reading.key(reading.member_points(made.member.member_id)).owner
        transfer = batch_pb2.Transfer(
            asset_code=reading.POINTS,
            debit=world,
            credit=credit,
            amount=7,
            reason=account_pb2.TRANSFER_REASON_EARN,
        )
        batch = batch_pb2.Batch(
            batch_id=ids.new("bat"), operations=[batch_pb2.Operation(transfer=transfer)]
        )
        batch.occurred_time.GetCurrentTime()
        posted = ledger_service_pb2.PostBatchesRequest(batches=[batch])
        answer = await admin.ask("PostBatches", admin.ledger.PostBatches, posted)
        assert answer.results[0].state == batch_pb2.BATCH_STATE_POSTED
    outcome = await job.perform(own_gateway, Options(receipts=LATER, workers=8), ignore)
    assert failures(outcome) == []


async def test_campaigns_of_others_stop_the_demo(own_gateway: Gateway) -> None:
    """Receipts that foreign campaigns change could not be proven."""
    rules = campaign_pb2.CampaignRules(
        title=text_pb2.LocalizedText(en="Somebody else's"),
        trigger=campaign_pb2.Trigger(automatic=campaign_pb2.AutomaticTrigger()),
        rewards=[campaign_pb2.Reward(percent_off=campaign_pb2.PercentOff(basis_points=100))],
        combination=campaign_pb2.Combination(lane=campaign_pb2.LANE_ITEM),
    )
    async with session.connect(own_gateway.address, own_gateway.admin) as admin:
        created = await admin.ask(
            "CreateCampaign",
            admin.campaigns.CreateCampaign,
            campaign_service_pb2.CreateCampaignRequest(request_id="somebody-else", rules=rules),
        )
        publish = campaign_service_pb2.PublishCampaignsRequest(
            campaign_ids=[created.campaign.campaign_id]
        )
        await admin.ask("PublishCampaigns", admin.campaigns.PublishCampaigns, publish)
    with pytest.raises(Unsuitable, match="Somebody else's"):
        await job.perform(own_gateway, Options(receipts=LATER, workers=8), ignore)
