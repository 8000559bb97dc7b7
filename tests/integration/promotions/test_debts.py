"""A chain that lets points be owed: what was spent before its goods came back is paid off later."""

# ruff: noqa: RUF001 - half of the texts are Russian

import asyncio
import dataclasses

import grpc
import pytest
from tessera.ledger.v1 import account_pb2, ledger_service_pb2
from tessera.promotions.v1 import checkout_pb2, checkout_service_pb2

from services.promotions import config
from tests.integration.promotions import programs, promises
from tests.integration.promotions.houses import cart_of, commit_of, line, return_of

Void = checkout_service_pb2.VoidRequest
GetReceipt = checkout_service_pb2.GetReceiptRequest


@pytest.fixture(scope="module")
async def owing(house, promotions_settings, promotions_database, run_promotions):
    """The same chain, served by a process whose settings let points be owed."""
    await house.publish(promises.earn(500))
    points = config.PointsSettings(shortfall="OWE")
    async with (
        run_promotions(promotions_settings(promotions_database, points=points)) as role,
        grpc.aio.insecure_channel(f"127.0.0.1:{role.server.port}") as channel,
    ):
        yield dataclasses.replace(house, role=role, channel=channel)


@pytest.fixture
async def member(house):
    return await house.register()


def bread(price, member, points=0):
    return cart_of(line("1", "bread", price), member_id=member, points=points)


async def balance(house, member):
    """Return what a member has available, and what the member owes."""
    owner = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=member)
    key = account_pb2.AccountKey(owner=owner, asset_code="points")
    request = ledger_service_pb2.GetBalancesRequest(accounts=[key])
    (found,) = (await house.call(house.books.GetBalances, request)).balances
    return found.available, found.debt


def texts(messages):
    return [
        (one.text.en, one.text.ru)
        for one in messages
        if one.audience == checkout_pb2.MESSAGE_AUDIENCE_RECEIPT
    ]


async def spend(house, member):
    """Earn 500 points and pay with 400 of them; return the purchase that earned."""
    first = await house.buy(bread(10_000, member))
    await house.buy(bread(800, member, points=400))
    # 4.00 of 8.00 are paid with money and earn 20.
    assert await balance(house, member) == (120, 0)
    return first


OWED = (
    "Owed: 380 points, spent already. Points that are earned next pay this off",
    "Долг: 380 баллов. Эти баллы уже потрачены, долг погасят следующие начисления",
)


async def test_a_return_leaves_a_debt_that_the_next_purchases_pay_off(owing, member):
    """The till tells what is owed, the balance shows it, and carts know of it until it is gone."""
    first = await spend(owing, member)
    back = await owing.give_back(first, **{"1": 1_000})
    assert (back.points_clawed_back, back.points_owed, back.points_not_recovered) == (120, 380, 0)
    assert texts(back.messages) == [OWED]
    assert await balance(owing, member) == (0, 380)
    event = await owing.event(lambda event: event.receipt_returned.return_id == back.return_id)
    told = event.receipt_returned
    assert (told.points_clawed_back, told.points_owed) == (120, 380)
    small = await owing.buy(bread(6_000, member))
    assert small.evaluation.points_debt == 380
    assert (
        "Owed: 380 points. This purchase pays off 300 points",
        "Долг: 380 баллов. Эта покупка погасит 300 баллов",
    ) in texts(small.evaluation.messages)
    assert await balance(owing, member) == (0, 80)
    nothing = await owing.evaluate(bread(1, member))
    assert (
        "Owed: 80 points. Points that are earned next pay this off",
        "Долг: 80 баллов. Его погасят следующие начисления",
    ) in texts(nothing.messages)
    await owing.buy(bread(2_000, member))
    assert await balance(owing, member) == (20, 0)
    clear = await owing.evaluate(bread(1_000, member))
    assert clear.points_debt == 0
    assert not any("Owed" in en for en, _ in texts(clear.messages))


async def test_a_return_that_is_sent_again_owes_once(owing, member):
    """However often and however many tills send it."""
    first = await spend(owing, member)
    request = return_of(first, {"1": 1_000})
    answers = await asyncio.gather(*(owing.call(owing.checkout.Return, request) for _ in range(4)))
    assert {answer.returned.points_owed for answer in answers} == {380}
    assert await balance(owing, member) == (0, 380)
    get = GetReceipt(receipt_id=first.receipt_id)
    (back,) = (await owing.call(owing.checkout.GetReceipt, get)).receipt.returns
    assert (back.points_owed, texts(back.messages)) == (380, [OWED])


async def test_a_void_leaves_a_debt_too(owing, member):
    first = await spend(owing, member)
    for _ in range(2):
        voided = await owing.call(owing.checkout.Void, Void(receipt_id=first.receipt_id))
        receipt = voided.receipt
        assert (receipt.points_owed, receipt.points_not_recovered) == (380, 0)
        assert texts(receipt.messages) == [OWED]
    assert await balance(owing, member) == (0, 380)
    get = GetReceipt(receipt_id=first.receipt_id)
    assert (await owing.call(owing.checkout.GetReceipt, get)).receipt == receipt


async def test_goods_that_had_paid_off_a_debt_leave_it_again(owing, member):
    """Buying, returning and buying again brings nobody further than the goods that are kept."""
    first = await spend(owing, member)
    await owing.give_back(first, **{"1": 1_000})
    second = await owing.buy(bread(10_000, member))
    assert await balance(owing, member) == (120, 0)
    await owing.give_back(second, **{"1": 1_000})
    assert await balance(owing, member) == (0, 380)


async def test_what_paid_comes_back_as_it_was_though_something_is_owed(owing, member):
    """The bread that points had paid for comes back: they are the shopper's own."""
    first = await owing.buy(bread(10_000, member))
    bread_ = await owing.buy(bread(800, member, points=400))
    await owing.give_back(first, **{"1": 1_000})
    back = await owing.give_back(bread_, **{"1": 1_000})
    assert (back.points_restored, back.points_owed) == (400, 0)
    available, debt = await balance(owing, member)
    assert available - debt == 0


async def test_a_reward_of_a_program_is_owed_too(owing, member):
    """Reached with goods, spent, and lost with them."""
    program_id = await programs.create(owing, programs.challenge("Five"))
    cart = cart_of(line("1", "milk", 1, 5_000), member_id=member)
    offer = await owing.evaluate(cart)
    receipt = (await owing.commit(commit_of(cart, offer))).receipt
    async with asyncio.timeout(10):
        while await balance(owing, member) != (100, 0):
            await asyncio.sleep(0.02)
    await owing.buy(bread(200, member, points=100))
    await owing.give_back(receipt, **{"1": 5_000})
    async with asyncio.timeout(10):
        while await balance(owing, member) != (0, 95):
            await asyncio.sleep(0.02)
    await programs.end(owing, program_id)


async def test_by_default_it_is_forgiven(house, owing, member):
    """A process without the setting takes what is there, says the rest, and owes nothing."""
    first = await spend(owing, member)
    back = await house.give_back(first, **{"1": 1_000})
    assert (back.points_clawed_back, back.points_owed, back.points_not_recovered) == (120, 0, 380)
    assert texts(back.messages) == []
    assert await balance(house, member) == (0, 0)
