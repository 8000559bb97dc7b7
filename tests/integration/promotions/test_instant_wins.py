"""Chances of winning at once: sealed before, drawn with the purchase, checked by anybody."""

import asyncio
import json
import secrets
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, json_format
from tessera.ledger.v1 import account_pb2, ledger_service_pb2
from tessera.promotions.v1 import campaign_pb2 as pb
from tessera.promotions.v1 import (
    campaign_service_pb2,
    checkout_pb2,
    checkout_service_pb2,
    instant_win_service_pb2,
    instant_win_service_pb2_grpc,
    local_campaign_service_pb2,
    offline_service_pb2,
    offline_service_pb2_grpc,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
)
from tessera.type.v1 import interval_pb2, text_pb2

from services.promotions import engine
from services.promotions.wire import sold
from tests.integration.promotions import promises
from tests.integration.promotions.houses import cart_of, commit_of, line, stamp

NOTHING, WON, GONE, WITHDRAWN = (
    checkout_pb2.INSTANT_DRAW_STATE_NOTHING,
    checkout_pb2.INSTANT_DRAW_STATE_WON,
    checkout_pb2.INSTANT_DRAW_STATE_GONE,
    checkout_pb2.INSTANT_DRAW_STATE_WITHDRAWN,
)
Void = checkout_service_pb2.VoidRequest
Read = checkout_service_pb2.GetReceiptRequest


def prize(title="A cup", *, count=5, one_in=1, points=0):
    named = text_pb2.LocalizedText(en=title, ru="Кружка")
    return pb.InstantPrize(title=named, count=count, one_in=one_in, points=points)


def chances(*prizes, days_before=100.0, days_after=1.0, win=None, **fields):
    """Return a campaign with one chance a receipt; a few prizes are all out by now."""
    made = pb.InstantWin(
        prizes=prizes,
        period=interval_pb2.Interval(
            start_time=stamp(seconds=-days_before * 86_400),
            end_time=stamp(seconds=days_after * 86_400),
        ),
        spread=pb.POINTS_SPREAD_ONCE,
    )
    made.MergeFrom(win or pb.InstantWin())
    return promises.rules(pb.Reward(instant_win=made), pb.LANE_EARN, **fields)


def service(channel: Any) -> Any:
    return instant_win_service_pb2_grpc.InstantWinServiceStub(channel)


@asynccontextmanager
async def live(house, rules):
    """Let a campaign live for a while; return its id."""
    (campaign_id,) = await house.publish(rules)
    try:
        yield campaign_id
    finally:
        await house.end(campaign_id)


@pytest.fixture
def later(house, run_promotions):
    """Return what serves the same chain from a process whose clock is ahead."""

    @asynccontextmanager
    async def serve(**span):
        moment = datetime.now(UTC) + timedelta(**span)
        async with run_promotions(house.settings, now=lambda: moment) as role:
            yield grpc.aio.insecure_channel(f"127.0.0.1:{role.server.port}")

    return serve


def bread(price=1_000, quantity=1_000, **fields):
    return cart_of(line("1", "bread", price, quantity), **fields)


async def sell(house, **fields):
    cart = bread(**fields)
    request = commit_of(cart, await house.evaluate(cart))
    return request, (await house.commit(request)).receipt


def states(receipt):
    return [one.state for one in receipt.evaluation.instant_draws]


def words(evaluation):
    return [(one.audience, one.text.en, one.text.ru) for one in evaluation.messages]


async def read(house, receipt):
    answer = await house.call(house.checkout.GetReceipt, Read(receipt_id=receipt.receipt_id))
    return answer.receipt


async def left(house, campaign_id):
    """Return what is left of the prizes that are out, all prizes of the campaign together."""
    accounts = ledger_service_pb2.GetBalancesRequest(
        accounts=[
            account_pb2.AccountKey(
                owner=account_pb2.Owner(
                    owner_type=account_pb2.OWNER_TYPE_CAMPAIGN, owner_id=account_id
                ),
                asset_code="prizes",
            )
            for account_id in await _accounts(house, campaign_id)
        ]
    )
    answer = await house.call(house.books.GetBalances, accounts)
    return sum(one.available for one in answer.balances)


async def _accounts(house, campaign_id):
    told = await sealed(house, campaign_id)
    terms = engine.instant_wins.read_terms(told.instant_win.terms)
    return [
        engine.instant_wins.find_account(terms, place) for place in range(len(terms.win.prizes))
    ]


async def test_evaluate_tells_chances_and_commit_what_they_win(house):
    """Nothing of a win is told before there is one; a repeated call tells the same."""
    async with live(house, chances(prize())) as campaign_id:
        cart = bread()
        offer = await house.evaluate(cart)
        assert [(one.campaign_id, one.count) for one in offer.instant_chances] == [(campaign_id, 1)]
        assert not offer.instant_draws
        assert words(offer) == [
            (
                checkout_pb2.MESSAGE_AUDIENCE_RECEIPT,
                "1 chance of winning at once",
                "1 шанс на мгновенный выигрыш",
            )
        ]
        (applied,) = offer.outcomes
        assert (applied.reason, applied.details["chances"]) == (
            checkout_pb2.OUTCOME_REASON_APPLIED,
            "1",
        )
        request = commit_of(cart, offer)
        answer = await house.commit(request)
        (draw,) = answer.receipt.evaluation.instant_draws
        assert (draw.campaign_id, draw.number, draw.state) == (campaign_id, 1, WON)
        assert (draw.prize_index, draw.title.en, draw.points) == (0, "A cup", 0)
        assert words(answer.receipt.evaluation)[1:] == [
            (
                checkout_pb2.MESSAGE_AUDIENCE_CASHIER,
                "The shopper has won, hand it over: A cup",
                "Покупатель выиграл, вручите приз: Кружка",
            ),
            (
                checkout_pb2.MESSAGE_AUDIENCE_RECEIPT,
                "You have won: A cup",
                "Вы выиграли: Кружка",
            ),
        ]
        again = await house.commit(request)
        assert again.replayed
        assert again.receipt.evaluation == answer.receipt.evaluation
        assert (await read(house, answer.receipt)).evaluation == answer.receipt.evaluation
        assert await left(house, campaign_id) == 4


async def test_tills_that_race_give_no_more_than_there_is(house):
    """Whoever comes too late is told that the prize was gone, and buys all the same."""
    async with live(house, chances(prize(count=3))) as campaign_id:
        answers = await asyncio.gather(*(sell(house, price=900 + n) for n in range(12)))
        found = [states(receipt) for _, receipt in answers]
        assert (found.count([WON]), found.count([GONE])) == (3, 9)
        assert await left(house, campaign_id) == 0
        for request, receipt in answers:
            again = await house.commit(request)
            assert states(again.receipt) == states(receipt)
            assert states(await read(house, receipt)) == states(receipt)


async def test_several_chances_of_a_receipt_share_what_is_left(house):
    """Each is drawn for itself; the first take what there is, and other things stay."""
    win = pb.InstantWin(spread=pb.POINTS_SPREAD_EACH_STEP, step_minor=500, chances_max=3)
    rules = chances(prize(count=2), win=win)
    rules.rewards.add(
        earn_stamps=pb.EarnStamps(card_id="wins", stamps=1, spread=pb.POINTS_SPREAD_ONCE)
    )
    async with live(house, rules):
        member = await house.register()
        _, receipt = await sell(house, price=5_000, member_id=member)
        assert [one.number for one in receipt.evaluation.instant_draws] == [1, 2, 3]
        assert states(receipt) == [WON, WON, GONE]
        assert await house.available(2, member, "stamps.wins") == 1


async def test_prizes_come_out_over_the_period(house):
    """One of two at its beginning, the other when half of it is over."""
    async with live(house, chances(prize(count=2), days_before=0.1, days_after=1)):
        found = [states((await sell(house))[1]) for _ in range(2)]
        assert found == [[WON], [GONE]]


async def test_a_prize_of_points_comes_with_the_receipt_and_goes_with_it(house):
    """A void takes back what is left of it; what was won is never won by somebody else."""
    async with live(house, chances(prize(count=2, points=500))) as campaign_id:
        member = await house.register()
        _, receipt = await sell(house, member_id=member)
        assert states(receipt) == [WON]
        assert words(receipt.evaluation)[-1][1] == "You have won: A cup"
        assert await house.points(member) == 500
        assert not (await house.evaluate(bread())).instant_chances
        voided = await house.call(house.checkout.Void, Void(receipt_id=receipt.receipt_id))
        assert states(voided.receipt) == [WITHDRAWN]
        assert voided.receipt.points_not_recovered == 0
        assert await house.points(member) == 0
        assert await left(house, campaign_id) == 1
        _, second = await sell(house, member_id=member)
        assert states(second) == [WON]
        _, third = await sell(house, member_id=member)
        assert states(third) == [GONE]
        assert await house.points(member) == 500


async def test_the_cashier_is_told_to_ask_for_a_prize_that_was_handed_over(house):
    """When the purchase is voided or all of it comes back, each time the till asks; not before."""
    asked = [(checkout_pb2.MESSAGE_AUDIENCE_CASHIER, "Ask for the prize back: A cup")]

    def told(document):
        return [(one.audience, one.text.en) for one in document.messages]

    async with live(house, chances(prize(count=2))):
        _, first = await sell(house)
        _, second = await sell(house, price=400, quantity=2_000)
        for _ in range(2):
            voided = await house.call(house.checkout.Void, Void(receipt_id=first.receipt_id))
            assert told(voided.receipt) == asked
        assert told(await house.give_back(second, **{"1": 1_000})) == []
        assert told(await house.give_back(second, **{"1": 1_000})) == asked
        last = await read(house, second)
        assert (told(last), [told(one) for one in last.returns]) == ([], [[], asked])


async def test_a_return_takes_the_prize_when_nothing_stays(house):
    """A part of the goods leaves it; points of it that were spent stay, and the return says so."""
    async with live(house, chances(prize(count=1, points=500))) as campaign_id:
        member = await house.register()
        _, receipt = await sell(house, price=400, quantity=2_000, member_id=member)
        part = await house.give_back(receipt, **{"1": 1_000})
        assert not part.prizes_withdrawn
        assert await house.points(member) == 500
        paid = bread(price=400, member_id=member, points=200)
        await house.commit(commit_of(paid, await house.evaluate(paid)))
        rest = await house.give_back(receipt, **{"1": 1_000})
        assert [(one.state, one.points) for one in rest.prizes_withdrawn] == [(WITHDRAWN, 500)]
        assert (rest.points_clawed_back, rest.points_not_recovered) == (0, 0)
        assert rest.prize_points_not_recovered == 200
        assert await house.points(member) == 0
        assert states(await read(house, receipt)) == [WITHDRAWN]
        assert await left(house, campaign_id) == 0


async def test_a_chance_that_was_drawn_stays_used(house):
    """Ringing a purchase up once more brings no other chance where members have one."""
    rules = chances(
        prize(one_in=1_000_000_000),
        limits=pb.Limits(uses_per_member_max=1, uses_max=50),
    )
    async with live(house, rules) as campaign_id:
        member = await house.register()
        _, receipt = await sell(house, member_id=member)
        assert states(receipt) == [NOTHING]
        await house.call(house.checkout.Void, Void(receipt_id=receipt.receipt_id))
        offer = await house.evaluate(bread(member_id=member))
        assert not offer.instant_chances
        assert [one.reason for one in offer.outcomes] == [
            checkout_pb2.OUTCOME_REASON_MEMBER_LIMIT_REACHED
        ]
        other = await house.register()
        _, receipt = await sell(house, member_id=other)
        await house.give_back(receipt, **{"1": 1_000})
        assert not (await house.evaluate(bread(member_id=other))).instant_chances
        assert await house.uses(campaign_id) == 2


async def sealed(house, campaign_id, channel=None):
    request = instant_win_service_pb2.GetInstantWinRequest(campaign_id=campaign_id)
    return await house.call(service(channel or house.channel).GetInstantWin, request)


async def draws(house, campaign_id, page_size=4):
    found, token = [], ""
    while True:
        request = instant_win_service_pb2.ListInstantDrawsRequest(
            campaign_id=campaign_id, page_size=page_size, page_token=token
        )
        page = await house.call(service(house.channel).ListInstantDraws, request)
        found.append(page)
        token = page.next_page_token
        if not token:
            return found


def check(folder, published, pages):
    """Run the tool on files as the gateway would have answered them."""
    paths = []
    for place, message in enumerate([published, *pages]):
        plain = json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        paths.append(folder / f"{place}.json")
        paths[-1].write_text(json.dumps(plain))
    command = [sys.executable, "-m", "tools", "instant-win", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


async def test_anybody_checks_what_was_drawn(house, later, tmp_path):
    """The seal is told before, the seed afterwards; a list that was touched is found out."""
    async with live(house, chances(prize(one_in=3), prize("A car", count=1, one_in=4))) as name:
        before = await sealed(house, name)
        assert (before.instant_win.seed, len(before.instant_win.seal)) == ("", 64)
        assert json.loads(before.instant_win.terms)["prizes"][1]["one_in"] == 4
        receipts = [(await sell(house))[1] for _ in range(18)]
        voided = receipts[-1].receipt_id
        await house.call(house.checkout.Void, Void(receipt_id=voided))
    early = check(tmp_path, before, [])
    assert early.returncode != 0
    async with later(days=2, hours=1) as channel:
        after = await sealed(house, name, channel)
    assert after.instant_win.seal == before.instant_win.seal
    assert len(after.instant_win.seed) == 64
    for one in receipts:
        await house.settled(one.receipt_id)
    pages = await draws(house, name)
    assert [len(page.receipts) for page in pages] == [4, 4, 4, 4, 2]
    assert [one.receipt_id for page in pages for one in page.receipts] == [
        one.receipt_id for one in receipts
    ]
    good = check(tmp_path, after, pages)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("All 18 chances follow from the seed")
    touched = pages[0].receipts[0].draws[0]
    touched.prize_index, touched.state = (0, WON) if touched.prize_index != 0 else (-1, NOTHING)
    bad = check(tmp_path, after, pages)
    assert bad.returncode == 1
    assert f"{pages[0].receipts[0].receipt_id}/1: wins" in bad.stderr


async def test_what_is_sealed_stays(house):
    """Another title may follow, other odds or another period may not."""
    rules = chances(prize())
    async with live(house, rules) as campaign_id:

        async def change(changed, version):
            update = campaign_service_pb2.UpdateCampaignRequest(
                campaign_id=campaign_id, version=version, rules=changed
            )
            await house.call(house.campaigns.UpdateCampaign, update)
            return campaign_service_pb2.PublishCampaignsRequest(campaign_ids=[campaign_id])

        before = await sealed(house, campaign_id)
        rules.title.en = "Win a cup"
        await house.call(house.campaigns.PublishCampaigns, await change(rules, 1))
        assert (await sealed(house, campaign_id)) == before
        assert await left(house, campaign_id) == 5
        rules.rewards[0].instant_win.prizes[0].one_in = 2
        publish = await change(rules, 2)
        said = await house.refusal(house.campaigns.PublishCampaigns, publish)
        assert (said.reason, said.metadata["field"]) == ("CAMPAIGN_INVALID", "rewards")


async def test_nothing_is_drawn_when_the_seed_is_about_to_be_told(house, later):
    """A purchase of the period that comes an hour after it is recorded, and wins nothing."""
    async with live(house, chances(prize(), days_after=0.01)):
        cart = bread()
        request = commit_of(cart, await house.evaluate(cart))
        async with later(hours=2) as channel:
            stub = type(house.checkout)(channel)
            receipt = (await house.call(stub.Commit, request)).receipt
        assert len(receipt.evaluation.instant_chances) == 1
        assert not receipt.evaluation.instant_draws


async def test_a_reserved_cart_is_drawn_when_it_is_sold(house):
    """What is held tells nothing of it."""
    reservations = reservation_service_pb2_grpc.ReservationServiceStub(house.channel)
    async with live(house, chances(prize())):
        cart = bread()
        held = await house.call(
            reservations.Reserve,
            reservation_service_pb2.ReserveRequest(
                request_id=secrets.token_hex(8),
                cart=cart,
                time_to_live=duration_pb2.Duration(seconds=60),
            ),
        )
        assert not held.evaluation.instant_draws
        commit = commit_of(cart, held.evaluation)
        commit.reservation_id = held.reservation_id
        assert states((await house.commit(commit)).receipt) == [WON]


async def test_a_receipt_without_a_line_has_no_chance(house):
    """Nobody is there any more to be told, and the till chose its number by itself."""
    async with live(house, chances(prize())) as campaign_id:
        cart = bread()
        offer = await house.evaluate(cart)
        offline = offline_service_pb2_grpc.OfflineServiceStub(house.channel)
        request = offline_service_pb2.RecordReceiptRequest(
            purchase=commit_of(cart, offer), lines=sold.show_lines(offer)
        )
        receipt = (await house.call(offline.RecordReceipt, request)).receipt
        assert not receipt.evaluation.instant_chances
        assert not receipt.evaluation.instant_draws
        assert await left(house, campaign_id) == 5


@pytest.fixture
async def without_ledger(house):
    """A campaign in which every chance wins, an offer and a member of before; then no ledger."""
    async with live(house, chances(prize())):
        member, cart = await house.register(), bread()
        request = commit_of(cart, await house.evaluate(cart))
        await house.ledger.kill()
        yield member, request
        await house.bring_back(house.ledger)


async def test_a_win_is_not_told_before_the_ledger_has_given_it(house, without_ledger):
    """The till repeats its call, and hears of it when the ledger is back."""
    member, request = without_ledger
    offer = await house.evaluate(bread(member_id=member))
    assert not offer.instant_chances
    assert [one.reason for one in offer.outcomes] == [
        checkout_pb2.OUTCOME_REASON_DEPENDENCY_UNAVAILABLE
    ]
    said = await house.refusal(house.checkout.Commit, request)
    assert (said.reason, said.metadata["outcome"]) == ("DEPENDENCY_UNAVAILABLE", "unknown")
    await house.bring_back(house.ledger)
    assert states((await house.commit(request)).receipt) == [WON]


async def test_a_win_that_waited_too_long_is_gone(house, recovery):
    """What is on its way holds no prize; whoever completes it finds what is there then."""
    async with live(house, chances(prize(count=1))):
        cart = bread()
        offer = await house.evaluate(cart)
        request = commit_of(cart, offer)
        await house.ledger.kill()
        try:
            said = await house.refusal(house.checkout.Commit, request)
            assert said.metadata["outcome"] == "unknown"
        finally:
            await house.bring_back(house.ledger)
        _, faster = await sell(house, price=2_000)
        assert states(faster) == [WON]
        await recovery.sweep()
        late = await house.commit(request)
        assert late.replayed
        assert states(late.receipt) == [GONE]
        voided = await house.call(house.checkout.Void, Void(receipt_id=late.receipt.receipt_id))
        assert voided.receipt.state == checkout_pb2.RECEIPT_STATE_VOIDED
        assert states(voided.receipt) == [GONE]


async def test_a_store_adapts_a_template_within_bounds(house):
    """Each local campaign has a seal of its own, with what the store has set; the template none."""
    rules = chances(prize(count=5))
    rules.parameters.add(
        name="mugs",
        field="rewards[0].instant_win.prizes[0].count",
        number=pb.NumberBounds(min=1, max=9),
    )
    async with live(house, rules) as template_id:
        start = local_campaign_service_pb2.StartLocalCampaignRequest(
            request_id=secrets.token_hex(8),
            template_id=template_id,
            store_ids=["s1"],
            arguments=[pb.Argument(name="mugs", number=2)],
        )
        made = (await house.call(house.local_campaigns.StartLocalCampaign, start)).campaign
        terms = json.loads((await sealed(house, made.campaign_id)).instant_win.terms)
        assert [one["count"] for one in terms["prizes"]] == [2]
        assert await left(house, made.campaign_id) == 2
        get = instant_win_service_pb2.GetInstantWinRequest(campaign_id=template_id)
        said = await house.refusal(service(house.channel).GetInstantWin, get)
        assert said.reason == "CAMPAIGN_NOT_FOUND"
        _, receipt = await sell(house)
        assert [one.campaign_id for one in receipt.evaluation.instant_draws] == [made.campaign_id]


async def test_refusals(house):
    """Of what has no chances, and of what cannot have any."""
    (plain,) = await house.publish(promises.earn(100))
    nothing = "cmp_" + "0" * 32
    for campaign_id in (plain, nothing):
        get = instant_win_service_pb2.GetInstantWinRequest(campaign_id=campaign_id)
        said = await house.refusal(service(house.channel).GetInstantWin, get)
        assert said.reason == "CAMPAIGN_NOT_FOUND"
    await house.end(plain)
    async with live(house, chances(prize())) as campaign_id:
        listing = instant_win_service_pb2.ListInstantDrawsRequest(
            campaign_id=campaign_id, page_token="x"
        )
        said = await house.refusal(service(house.channel).ListInstantDraws, listing)
        assert said.reason == "PAGE_TOKEN_INVALID"
    create = campaign_service_pb2.CreateCampaignRequest(
        request_id=secrets.token_hex(8), rules=chances(prize(one_in=2), prize(one_in=1))
    )
    said = await house.refusal(house.campaigns.CreateCampaign, create)
    assert (said.reason, said.metadata["field"]) == (
        "CAMPAIGN_INVALID",
        "rewards[0].instant_win.prizes",
    )
    open_end = chances(prize())
    open_end.rewards[0].instant_win.period.ClearField("end_time")
    create = campaign_service_pb2.CreateCampaignRequest(
        request_id=secrets.token_hex(8), rules=open_end
    )
    said = await house.refusal(house.campaigns.CreateCampaign, create)
    assert said.reason == "INVALID_REQUEST"
