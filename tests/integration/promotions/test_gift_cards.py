"""Gift cards as tender: after everything else, in the receipt's own batch."""

import secrets

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    asset_pb2,
    batch_pb2,
    ledger_service_pb2,
)
from tessera.promotions.v1 import (
    checkout_pb2,
    checkout_service_pb2,
    offline_service_pb2,
    offline_service_pb2_grpc,
)

from services.chassis import ids
from services.promotions.wire import sold
from tests.integration.promotions import promises
from tests.integration.promotions.houses import CURRENCY, cart_of, commit_of, line, stamp

ASSET = f"gift.{CURRENCY}"
CARD = account_pb2.OWNER_TYPE_CARD


@pytest.fixture(scope="module", autouse=True)
async def campaigns(house):
    asset = asset_pb2.Asset(asset_code=ASSET, scale=2, lot_policy=asset_pb2.LotPolicy())
    asset.lot_policy.time_zone = "UTC"
    await house.call(house.books.CreateAsset, ledger_service_pb2.CreateAssetRequest(asset=asset))
    return await house.publish(promises.earn(500), promises.percent_off(1000, "milk"))


async def new_card(house, amount, asset_code=ASSET):
    """Return a card with money."""
    card_id = "gcd_" + secrets.token_hex(16)
    transfer = batch_pb2.Transfer(
        asset_code=asset_code,
        debit=account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_WORLD, owner_id="sales"),
        credit=account_pb2.Owner(owner_type=CARD, owner_id=card_id),
        amount=amount,
        reason=account_pb2.TRANSFER_REASON_FUND,
    )
    batch = batch_pb2.Batch(
        batch_id=ids.new("bat"),
        operations=[batch_pb2.Operation(transfer=transfer)],
        occurred_time=stamp(),
    )
    request = ledger_service_pb2.PostBatchesRequest(batches=[batch])
    answer = await house.call(house.books.PostBatches, request)
    assert answer.results[0].state == batch_pb2.BATCH_STATE_POSTED, answer
    return card_id


async def left(house, card_id):
    return await house.available(CARD, card_id, ASSET)


def paying(cart, offer, *payments):
    request = commit_of(cart, offer)
    for card_id, amount in payments:
        request.gift_card_payments.add(card_id=card_id, amount_minor=amount)
    return request


async def test_cards_pay_in_part_and_get_their_money_first(house):
    """Two cards and cash; what comes back fills the cards in order, then the purse."""
    first, second = await new_card(house, 3_000), await new_card(house, 5_000)
    member = await house.register()
    cart = cart_of(line("1", "milk", 2_000, 5_000), member_id=member)
    request = paying(cart, await house.evaluate(cart), (first, 3_000), (second, 2_000))
    answer = await house.commit(request)
    assert answer.receipt.evaluation.total_minor == 9_000
    assert list(answer.receipt.gift_card_payments) == list(request.gift_card_payments)
    assert (await left(house, first), await left(house, second)) == (0, 3_000)
    assert await house.points(member) == 450
    assert (await house.commit(request)).replayed
    assert await left(house, second) == 3_000
    back = await house.give_back(answer.receipt, **{"1": 2_000})
    assert back.refund_minor == 3_600
    assert [one.amount_minor for one in back.gift_card_refunds] == [3_000, 600]
    assert (await left(house, first), await left(house, second)) == (3_000, 3_600)
    rest = await house.give_back(answer.receipt, **{"1": 3_000})
    assert rest.refund_minor == 5_400
    assert [one.amount_minor for one in rest.gift_card_refunds] == [1_400]
    assert (await left(house, first), await left(house, second)) == (3_000, 5_000)
    assert await house.points(member) == 0


async def test_what_a_card_never_paid_is_not_given_back_in_money(house):
    """A till without a line took 6.00 of cards that had 1.00: the shopper brought 4.00 besides."""
    card, empty = await new_card(house, 100), "gcd_" + secrets.token_hex(16)
    cart = cart_of(line("1", "bread", 500, 2_000))
    offer = await house.evaluate(cart)
    told = offline_service_pb2.RecordReceiptRequest(
        purchase=paying(cart, offer, (card, 500), (empty, 100)), lines=sold.show_lines(offer)
    )
    tills = offline_service_pb2_grpc.OfflineServiceStub(house.channel)
    receipt = (await house.call(tills.RecordReceipt, told)).receipt
    assert {one.kind for one in receipt.conflicts} >= {checkout_pb2.CONFLICT_KIND_GIFT_CARD_SHORT}
    returns = [await house.give_back(receipt, **{"1": 500}) for _ in range(4)]
    assert [
        (
            one.refund_minor,
            sum(part.amount_minor for part in one.gift_card_refunds),
            one.gift_cards_not_refunded_minor,
        )
        for one in returns
    ] == [(100, 100, 150), (0, 0, 250), (150, 0, 100), (250, 0, 0)]
    assert sum(one.refund_minor for one in returns) == 100 + 400
    assert (await left(house, card), await left(house, empty)) == (100, 0)


async def test_a_void_says_what_cards_never_paid(house):
    """A till without a line took 6.00 of a card that had 1.00: 5.00 are nobody's to give back."""
    card = await new_card(house, 100)
    cart = cart_of(line("1", "bread", 500, 2_000))
    offer = await house.evaluate(cart)
    told = offline_service_pb2.RecordReceiptRequest(
        purchase=paying(cart, offer, (card, 600)), lines=sold.show_lines(offer)
    )
    tills = offline_service_pb2_grpc.OfflineServiceStub(house.channel)
    receipt = (await house.call(tills.RecordReceipt, told)).receipt
    assert receipt.gift_cards_not_refunded_minor == 0
    void = checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
    for _ in range(2):
        voided = (await house.call(house.checkout.Void, void)).receipt
        assert voided.gift_cards_not_refunded_minor == 500
    assert await left(house, card) == 100


async def test_a_card_given_twice_pays_twice_and_gets_back_once(house):
    """A till that scans a card again means more of the same money: what comes back is one sum."""
    card, other = await new_card(house, 5_000), await new_card(house, 1_000)
    cart = cart_of(line("1", "bread", 2_000, 5_000))
    offer = await house.evaluate(cart)
    request = paying(cart, offer, (card, 3_000), (other, 1_000), (card, 2_000))
    receipt = (await house.commit(request)).receipt
    assert (await left(house, card), await left(house, other)) == (0, 0)
    back = await house.give_back(receipt, **{"1": 2_500})
    assert [(one.card_id, one.amount_minor) for one in back.gift_card_refunds] == [
        (card, 4_000),
        (other, 1_000),
    ]
    assert (await left(house, card), await left(house, other)) == (4_000, 1_000)
    rest = await house.give_back(receipt, **{"1": 2_500})
    assert [(one.card_id, one.amount_minor) for one in rest.gift_card_refunds] == [(card, 1_000)]
    assert rest.refund_minor == 5_000
    assert (await left(house, card), await left(house, other)) == (5_000, 1_000)


async def test_a_card_given_twice_has_to_have_it_all(house):
    """Each part alone would do; together they are more than there is, and nothing moves."""
    card = await new_card(house, 1_000)
    cart = cart_of(line("1", "bread", 2_000))
    request = paying(cart, await house.evaluate(cart), (card, 600), (card, 401))
    short = await house.refusal(house.checkout.Commit, request)
    assert (short.reason, short.metadata["available_minor"]) == ("GIFT_CARD_SHORT", "400")
    assert await left(house, card) == 1_000


async def test_a_void_gives_cards_their_money_back(house):
    """Like everything else, also for a shopper whom nobody knows."""
    card = await new_card(house, 1_000)
    cart = cart_of(line("1", "bread", 1_500))
    receipt = (await house.commit(paying(cart, await house.evaluate(cart), (card, 1_000)))).receipt
    assert await left(house, card) == 0
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
    )
    assert await left(house, card) == 1_000


async def test_what_a_card_cannot_pay_is_refused(house):
    """Too little on it, more than is left to pay, no card at all; then nothing has happened."""
    card = await new_card(house, 1_000)
    member = await house.register()
    cart = cart_of(line("1", "bread", 1_500), member_id=member)
    offer = await house.evaluate(cart)
    short = await house.refusal(house.checkout.Commit, paying(cart, offer, (card, 1_001)))
    assert (short.reason, short.metadata["card_id"], short.metadata["available_minor"]) == (
        "GIFT_CARD_SHORT",
        card,
        "1000",
    )
    nobodys = "gcd_" + "0" * 32
    short = await house.refusal(house.checkout.Commit, paying(cart, offer, (nobodys, 1)))
    assert (short.reason, short.metadata["available_minor"]) == ("GIFT_CARD_SHORT", "0")
    high = await house.refusal(
        house.checkout.Commit, paying(cart, offer, (card, 1_000), (card, 501))
    )
    assert (high.reason, high.metadata["max_minor"]) == ("GIFT_CARD_PAYMENT_TOO_HIGH", "1500")
    assert await left(house, card) == 1_000
    assert await house.points(member) == 0
    zero = await house.refusal(house.checkout.Commit, paying(cart, offer, (card, 0)))
    assert zero.reason == "INVALID_REQUEST"


async def test_card_with_other_money_is_refused_with_the_money_that_pays(house):
    """Nobody looks for the money on a card that has enough, but of the wrong kind."""
    foreign = asset_pb2.Asset(asset_code="gift.XTS", scale=2)
    await house.call(house.books.CreateAsset, ledger_service_pb2.CreateAssetRequest(asset=foreign))
    card = await new_card(house, 5_000, "gift.XTS")
    cart = cart_of(line("1", "bread", 1_500))
    request = paying(cart, await house.evaluate(cart), (card, 1_000))
    short = await house.refusal(house.checkout.Commit, request)
    assert (short.reason, short.metadata) == (
        "GIFT_CARD_SHORT",
        {"card_id": card, "available_minor": "0", "asset_code": ASSET},
    )
    assert ASSET in short.message


async def test_goods_paid_with_a_card_that_is_blocked_meanwhile_come_back(house):
    """Its money is its own again, and nobody can pay with it until the account is unfrozen."""
    card = await new_card(house, 1_000)
    cart = cart_of(line("1", "bread", 1_500))
    request = paying(cart, await house.evaluate(cart), (card, 1_000))
    receipt = (await house.commit(request)).receipt
    account = account_pb2.AccountKey(asset_code=ASSET)
    account.owner.owner_type, account.owner.owner_id = CARD, card
    freeze = account_service_pb2.FreezeAccountRequest(
        account=account, operator_id="olga", note="stolen"
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{house.ledger.port}") as channel:
        stub = account_service_pb2_grpc.AccountServiceStub(channel)
        await house.call(stub.FreezeAccount, freeze)
    await house.call(
        house.checkout.Void, checkout_service_pb2.VoidRequest(receipt_id=receipt.receipt_id)
    )
    assert await left(house, card) == 1_000
    request = paying(cart, await house.evaluate(cart), (card, 1))
    short = await house.refusal(house.checkout.Commit, request)
    assert (short.reason, short.metadata["card_id"]) == ("GIFT_CARD_SHORT", card)


async def test_money_is_never_promised(house):
    """Without the ledger a card cannot pay; the till is told to wait or to take something else."""
    card = await new_card(house, 1_000)
    cart = cart_of(line("1", "bread", 1_500), member_id=await house.register())
    await house.ledger.kill()
    try:
        offer = await house.evaluate(cart)
        assert list(offer.degradations) == [checkout_pb2.DEGRADATION_LEDGER]
        request = paying(cart, offer, (card, 1_000))
        refusal = await house.refusal(house.checkout.Commit, request)
        assert refusal.reason == "DEPENDENCY_UNAVAILABLE"
    finally:
        await house.bring_back(house.ledger)
    assert await left(house, card) == 1_000
