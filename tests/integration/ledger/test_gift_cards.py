"""Gift cards: made with codes nobody stored, and money that moves like all other value."""

import asyncio
import base64
import json

import grpc
import pytest
from tessera.ledger.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    asset_pb2,
    batch_pb2,
    error_reason_pb2,
    gift_card_service_pb2,
    gift_card_service_pb2_grpc,
)

from services.chassis import ids, status, timestamps
from services.ledger.codes import Codes, Kind
from tests.integration.ledger.conftest import account, move, running, undo, world

pb = gift_card_service_pb2
ASSET = "gift.RUB"
KEY = bytes(range(32))
ISSUED, ACTIVE, BLOCKED = 1, 2, 3


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "codes"
    path.write_text(base64.b64encode(KEY).decode())
    return path


@pytest.fixture(scope="module")
async def ledger(ledger_database, valkey, key_file):
    """Run one ledger for the module, with gift cards that are good for a year."""
    fields = {"code_key_file": key_file, "code_failures_burst": 3, "code_failure_interval_s": 60}
    async with running(ledger_database, valkey.url, **fields) as started:
        yearly = asset_pb2.RollingExpiry(months=12, rounding=asset_pb2.EXPIRY_ROUNDING_END_OF_DAY)
        policy = asset_pb2.LotPolicy(rolling=yearly, time_zone="UTC")
        await started.asset(ASSET, scale=2, lot_policy=policy, ceiling=1_000_000)
        yield started


@pytest.fixture(scope="module")
async def cards(ledger):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        yield gift_card_service_pb2_grpc.GiftCardServiceStub(channel)


async def issue(cards, count=1, **fields):
    request = {"request_id": ids.new("req"), "asset_code": ASSET, "count": count, **fields}
    return list((await cards.IssueGiftCards(pb.IssueGiftCardsRequest(**request))).gift_cards)


class Desk:
    """Somebody who serves one card."""

    def __init__(self, cards, ledger, made):
        self.cards, self.ledger = cards, ledger
        self.card_id, self.code = made.card_id, made.code
        self.account = account(self.card_id, ASSET, account_pb2.OWNER_TYPE_CARD)

    def _fields(self, amount, fields):
        return {
            "request_id": ids.new("req"),
            "card_id": self.card_id,
            "amount": amount,
            "occurred_time": timestamps.show(self.ledger.now()),
            **fields,
        }

    async def activate(self, amount=1000, **fields):
        request = pb.ActivateGiftCardRequest(**self._fields(amount, fields))
        return await self.cards.ActivateGiftCard(request)

    async def top_up(self, amount, **fields):
        return await self.cards.TopUpGiftCard(
            pb.TopUpGiftCardRequest(**self._fields(amount, fields))
        )

    async def redeem(self, amount, **fields):
        return await self.cards.RedeemGiftCard(
            pb.RedeemGiftCardRequest(**self._fields(amount, fields))
        )

    async def refund(self, paid, amount, **fields):
        fields = {"paid_batch_id": paid, **fields}
        return await self.cards.RefundGiftCard(
            pb.RefundGiftCardRequest(**self._fields(amount, fields))
        )

    async def block(self):
        request = pb.BlockGiftCardRequest(card_id=self.card_id)
        return (await self.cards.BlockGiftCard(request)).gift_card

    async def unblock(self):
        request = pb.UnblockGiftCardRequest(card_id=self.card_id)
        return (await self.cards.UnblockGiftCard(request)).gift_card

    async def get(self):
        request = pb.GetGiftCardRequest(card_id=self.card_id)
        return (await self.cards.GetGiftCard(request)).gift_card


@pytest.fixture
async def desk(cards, ledger):
    """Serve a card that was just made."""
    return Desk(cards, ledger, (await issue(cards))[0])


@pytest.fixture
async def active(desk):
    """Serve a card with 10.00 on it."""
    await desk.activate(1000)
    return desk


async def refused(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return status.read(caught.value)


async def test_repeated_issue_shows_the_same_codes_and_makes_no_more_cards(cards, ledger):
    """A lost answer costs nobody a card."""
    request_id = ids.new("req")
    made = await issue(cards, 50, request_id=request_id)
    assert len({one.code for one in made}) == 50
    assert await issue(cards, 50, request_id=request_id) == made
    count = await ledger.db.fetchval(
        "SELECT count(*) FROM gift_cards WHERE request_id = $1", request_id
    )
    assert count == 50


async def test_the_same_issue_at_the_same_time_makes_its_cards_once(cards):
    """Whoever is first, all see the same codes."""
    request_id = ids.new("req")
    made = await asyncio.gather(*(issue(cards, 10, request_id=request_id) for _ in range(5)))
    assert len(made[0]) == 10
    assert all(other == made[0] for other in made)


async def test_code_that_another_issue_drew_before_is_skipped(cards, ledger):
    """The count is kept all the same, and so is the other's card."""
    request_id, others = ids.new("req"), ids.new("req")
    (other,) = await issue(cards, 1, request_id=others)
    codes = Codes(KEY)
    drawn = codes.identify(Kind.GIFT_CARD, codes.draw(Kind.GIFT_CARD, request_id, 1))
    await ledger.db.execute(
        """
        INSERT INTO gift_cards SELECT $1, request_id, 999, asset_code, hint, state, create_time,
            NULL, NULL FROM gift_cards WHERE card_id = $2
        """,
        drawn,
        ids.parse("gcd", other.card_id),
    )
    made = await issue(cards, 3, request_id=request_id)
    assert ids.show("gcd", drawn) not in {one.card_id for one in made}
    assert len(made) == 3
    assert await issue(cards, 3, request_id=request_id) == made


async def test_codes_are_stored_nowhere(ledger, desk):
    """Neither as they are printed nor as they are typed."""
    rows = await ledger.db.fetch("SELECT gift_cards::TEXT AS row FROM gift_cards")
    text = "".join(row["row"] for row in rows)
    code = desk.code.replace("-", "")
    assert desk.card_id.removeprefix("gcd_")[:8] in text
    assert code not in text
    assert code[:8] not in text


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"asset_code": "ghosts"}, "ASSET_NOT_FOUND"), ({"count": 10_001}, "INVALID_REQUEST")],
)
async def test_issue_of_what_cannot_be_is_refused(cards, fields, reason):
    """Before a code is drawn."""
    assert (await refused(issue(cards, **fields))).reason == reason


async def test_issue_with_another_body_is_refused(cards):
    """The answer names the first field that differs."""
    request_id = ids.new("req")
    await issue(cards, 2, request_id=request_id)
    answer = await refused(issue(cards, 3, request_id=request_id))
    assert (answer.reason, answer.metadata) == ("REQUEST_CONFLICT", {"field": "count"})


async def test_life_of_a_card(desk):
    """Made, activated, topped up, spent in parts, refunded."""
    assert (await desk.get()).state == ISSUED
    card = (await desk.activate(1000)).gift_card
    assert (card.state, card.available) == (ACTIVE, 1000)
    assert card.HasField("next_expire_time")
    assert (await desk.top_up(500)).gift_card.available == 1500
    paid = await desk.redeem(1200)
    assert paid.gift_card.available == 300
    assert (await desk.refund(paid.batch_id, 200)).gift_card.available == 500
    assert (await desk.refund(paid.batch_id, 1000)).gift_card.available == 1500
    answer = await refused(desk.refund(paid.batch_id, 1))
    assert (answer.reason, answer.metadata) == ("EXCEEDS_REVERSIBLE", {"remaining": "0"})
    assert await desk.ledger.truth(desk.account) == 1500


async def test_repeated_requests_move_nothing_more(active):
    """A till that saw no answer sends the same again, also after the card was blocked."""
    same = {"request_id": ids.new("req"), "occurred_time": timestamps.show(active.ledger.now())}
    first = await active.redeem(100, **same)
    assert await active.redeem(100, **same) == first
    answer = await refused(active.redeem(101, **same))
    assert (answer.reason, answer.metadata) == (
        "REQUEST_CONFLICT",
        {"field": "amount"},
    )
    await active.block()
    assert (await active.redeem(100, **same)).batch_id == first.batch_id


async def test_card_is_activated_once(desk):
    """The same activation is answered again; another one is refused."""
    now = timestamps.show(desk.ledger.now())
    await desk.activate(1000, occurred_time=now)
    assert (await desk.activate(1000, occurred_time=now)).gift_card.available == 1000
    answer = await refused(desk.activate(2000))
    assert (answer.reason, answer.metadata) == ("GIFT_CARD_STATE", {"state": "ACTIVE"})
    assert (await desk.get()).available == 1000


async def test_money_beyond_the_ceiling_is_refused_and_the_card_stays_as_it_was(desk):
    """No card is active without its money."""
    answer = await refused(desk.activate(1_000_001))
    assert answer.reason == "CEILING_EXCEEDED"
    assert (await desk.get()).state == ISSUED


async def test_activation_that_was_refused_does_not_spoil_the_card(desk):
    """What was wrong is put right, as often as it takes; then the card is activated once."""
    early = timestamps.show(desk.ledger.now())
    wrong = timestamps.show(desk.ledger.now())
    wrong.seconds += 3600
    for _ in range(2):
        answer = await refused(desk.activate(1000, occurred_time=wrong))
        assert answer.reason == "OCCURRED_IN_FUTURE"
        answer = await refused(desk.activate(1_000_001, occurred_time=early))
        assert answer.reason == "CEILING_EXCEEDED"
    sendings = (desk.activate(1000 + till) for till in range(5))
    results = await asyncio.gather(*sendings, return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in results) == 1
    card = await desk.get()
    assert (card.state, card.available // 10) == (ACTIVE, 100)
    answer = await refused(desk.activate(1_000_001, occurred_time=early))
    assert answer.reason == "CEILING_EXCEEDED"


async def test_more_than_there_is_cannot_be_spent(active):
    """The answer says what there is."""
    answer = await refused(active.redeem(1001))
    assert answer.reason == "INSUFFICIENT_FUNDS"
    assert answer.metadata == {"available": "1000", "required": "1001"}


async def test_tills_that_race_for_a_card_never_overspend_it(active):
    """Ten of them want 3.00 of 10.00."""
    answers = await asyncio.gather(*(active.redeem(300) for _ in range(10)), return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == 3
    assert (await active.get()).available == 100


@pytest.mark.parametrize("verb", ["top_up", "redeem"])
async def test_card_that_is_not_active_moves_no_money(desk, verb):
    """Neither before its activation nor while it is blocked."""
    answer = await refused(getattr(desk, verb)(1))
    assert (answer.reason, answer.metadata) == ("GIFT_CARD_STATE", {"state": "ISSUED"})
    await desk.block()
    answer = await refused(getattr(desk, verb)(1))
    assert answer.metadata == {"state": "BLOCKED"}
    answer = await refused(desk.activate())
    assert answer.metadata == {"state": "BLOCKED"}


async def test_blocked_card_cannot_be_spent_in_any_batch(active):
    """Its money is out of reach, and comes back with the expiry that it had."""
    before = await active.get()
    blocked = await active.block()
    assert (blocked.state, blocked.available, blocked.blocked_amount) == (BLOCKED, 0, 1000)
    result = await active.ledger.post(move(active.account, world(ASSET), 1))
    assert result.refusal.reason == error_reason_pb2.ERROR_REASON_ACCOUNT_FROZEN
    assert await active.block() == blocked
    card = await active.unblock()
    assert (card.state, card.available, card.blocked_amount) == (ACTIVE, 1000, 0)
    assert card.next_expire_time == before.next_expire_time
    assert (await active.block()).blocked_amount == 1000
    assert (await active.unblock()).available == 1000


async def test_what_comes_back_to_a_blocked_card_cannot_be_spent_either(active):
    """Goods that it paid for are returned: the money is its again, and waits with the rest."""
    receipt = await active.ledger.post(move(active.account, world(ASSET, "redemption"), 400))
    assert (await active.block()).blocked_amount == 600
    returned = await active.ledger.post(undo(receipt, 400))
    assert returned.state == batch_pb2.BATCH_STATE_POSTED
    card = await active.get()
    assert (card.state, card.available, card.blocked_amount) == (BLOCKED, 0, 1000)
    stolen = await active.ledger.post(move(active.account, world(ASSET, "redemption"), 1))
    assert stolen.refusal.reason == error_reason_pb2.ERROR_REASON_ACCOUNT_FROZEN
    assert (await active.block()).blocked_amount == 1000
    card = await active.unblock()
    assert (card.state, card.available, card.blocked_amount) == (ACTIVE, 1000, 0)
    assert (await active.redeem(1000)).gift_card.available == 0


async def test_money_that_comes_to_a_card_blocked_before_its_activation_is_blocked(desk):
    """Whoever posts to its account by hand cannot spend it either."""
    await desk.block()
    await desk.ledger.post(move(world(ASSET), desk.account, 100))
    stolen = await desk.ledger.post(move(desk.account, world(ASSET), 1))
    assert stolen.refusal.reason == error_reason_pb2.ERROR_REASON_ACCOUNT_FROZEN
    assert (await desk.get()).blocked_amount == 100


@pytest.mark.parametrize("verb", ["Freeze", "Unfreeze", "Close", "Reopen"])
async def test_account_of_a_card_stands_as_the_card_does(active, verb):
    """A blocked card cannot be opened by the back door, however empty it is."""
    await active.redeem(1000)
    await active.block()
    request = getattr(account_service_pb2, f"{verb}AccountRequest")(
        account=active.account, operator_id="op_1", note="why not"
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{active.ledger.port}") as channel:
        stub = account_service_pb2_grpc.AccountServiceStub(channel)
        answer = await refused(getattr(stub, f"{verb}Account")(request))
    assert (answer.reason, answer.metadata) == ("GIFT_CARD_ACCOUNT", {"card_id": active.card_id})
    assert (await active.get()).state == BLOCKED
    assert (await active.unblock()).state == ACTIVE


@pytest.mark.parametrize("owner_id", ["cpn_" + "0" * 32, "gcd_" + "0" * 32, "gcd_1", "my-wallet"])
async def test_other_accounts_of_cards_can_be_frozen(ledger, owner_id):
    """Coupons and whatever else a card may be."""
    wallet = account(owner_id, ASSET, account_pb2.OWNER_TYPE_CARD)
    await ledger.post(move(world(ASSET), wallet, 100))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ledger.port}") as channel:
        stub = account_service_pb2_grpc.AccountServiceStub(channel)
        request = account_service_pb2.FreezeAccountRequest(
            account=wallet, operator_id="op_1", note="lost"
        )
        frozen = (await stub.FreezeAccount(request)).account
    assert frozen.state == account_pb2.ACCOUNT_STATE_FROZEN


async def test_card_is_blocked_once_by_people_who_act_at_once(active):
    """Two people who act at once do not stand in each other's way."""
    await asyncio.gather(active.block(), active.block())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{active.ledger.port}") as channel:
        stub = account_service_pb2_grpc.AccountServiceStub(channel)
        request = account_service_pb2.ListAccountActsRequest(account=active.account)
        acts = (await stub.ListAccountActs(request)).acts
    assert [one.action for one in acts] == [account_pb2.ACCOUNT_ACTION_FREEZE]


async def test_card_blocked_before_its_activation_waits_for_it_again(desk):
    """A stolen pallet that was found."""
    await desk.block()
    assert (await desk.unblock()).state == ISSUED
    assert (await desk.activate(700)).gift_card.available == 700


async def test_card_that_is_not_blocked_cannot_be_unblocked(active):
    """Nothing comes back that was not taken."""
    answer = await refused(active.unblock())
    assert (answer.reason, answer.metadata) == ("GIFT_CARD_STATE", {"state": "ACTIVE"})


async def test_one_connection_is_enough(database, valkey, key_file):
    """Nobody who has one waits for another: as many at once as there are would wait for ever."""
    fields = {"code_key_file": key_file, "pool_size": 1}
    async with (
        running(await database("ledger"), valkey.url, **fields) as small,
        grpc.aio.insecure_channel(f"127.0.0.1:{small.port}") as channel,
    ):
        await small.asset(ASSET)
        cards = gift_card_service_pb2_grpc.GiftCardServiceStub(channel)
        (made,) = await issue(cards)
        desk = Desk(cards, small, made)
        await desk.activate(700)
        answer = await refused(desk.unblock())
        assert (answer.reason, answer.metadata) == ("GIFT_CARD_STATE", {"state": "ACTIVE"})


async def test_money_expires_with_its_lots(active, turned):
    """A card's life is its asset's policy."""
    turned(days=400)
    assert (await active.get()).available == 0


async def test_checkout_pays_in_its_own_batch_and_the_card_is_refunded(active):
    """What promotions needs: the owner behind a code, and money that moves with the receipt."""
    request = pb.ResolveGiftCardRequest(code=active.code.lower(), presenter_id="till 1")
    card = (await active.cards.ResolveGiftCard(request)).gift_card
    assert (card.card_id, card.available, card.hint) == (
        active.card_id,
        1000,
        active.code[-4:],
    )
    payment = account(card.card_id, card.asset_code, account_pb2.OWNER_TYPE_CARD)
    receipt = await active.ledger.post(
        move(payment, world(ASSET, "redemption"), 400), receipt_id="r-1"
    )
    assert (await active.refund(receipt.batch_id, 400)).gift_card.available == 1000


async def test_refund_of_what_the_card_did_not_pay_is_refused(cards, ledger, active):
    """Neither another card's payment, nor a top-up, nor money taken aside, nor nothing."""
    other = Desk(cards, ledger, (await issue(cards))[0])
    await other.activate(500)
    paid = await other.redeem(100)
    topped = await active.top_up(100)
    nothing = ids.new("bat")
    for batch_id in (paid.batch_id, topped.batch_id, nothing):
        answer = await refused(active.refund(batch_id, 1))
        assert answer.reason == "TRANSFER_NOT_FOUND"
    mine = await active.redeem(100)
    undone = await ledger.post(undo(await _result(ledger, mine.batch_id), 50))
    answer = await refused(active.refund(undone.batch_id, 1))
    assert answer.reason == "TRANSFER_NOT_FOUND"


async def _result(ledger, batch_id):
    from tessera.ledger.v1 import ledger_service_pb2

    request = ledger_service_pb2.GetBatchRequest(batch_id=batch_id)
    return (await ledger.stub.GetBatch(request)).result


async def test_unknown_card_is_not_found(cards, ledger):
    """By its id, whatever is asked."""
    ghost = Desk(cards, ledger, pb.IssuedGiftCard(card_id=ids.new("gcd")))
    for call in (
        ghost.get(),
        ghost.activate(),
        ghost.top_up(1),
        ghost.redeem(1),
        ghost.refund(ids.new("bat"), 1),
        ghost.block(),
        ghost.unblock(),
    ):
        assert (await refused(call)).reason == "GIFT_CARD_NOT_FOUND"


async def test_money_from_the_future_is_refused(desk):
    """A till whose clock is wrong hears so."""
    occurred = timestamps.show(desk.ledger.now())
    occurred.seconds += 3600
    answer = await refused(desk.activate(occurred_time=occurred))
    assert answer.reason == "OCCURRED_IN_FUTURE"


async def test_typing_errors_cost_nothing_and_guesses_soon_have_to_wait(cards, desk):
    """Who guesses waits; the neighbour's till does not."""

    def resolve(code, presenter="guesser"):
        return cards.ResolveGiftCard(pb.ResolveGiftCardRequest(code=code, presenter_id=presenter))

    wrong = desk.code[:-1] + ("2" if desk.code[-1] != "2" else "3")
    for _ in range(20):
        assert (await refused(resolve(wrong))).reason == "CODE_MALFORMED"
    codes = Codes(KEY)
    for number in range(3):
        guess = codes.draw(Kind.GIFT_CARD, "never issued", number)
        assert (await refused(resolve(guess))).reason == "CODE_NOT_FOUND"
    answer = await refused(resolve(desk.code))
    assert (answer.reason, int(answer.metadata["retry_after_s"]) <= 60) == (
        "TOO_MANY_ATTEMPTS",
        True,
    )
    for _ in range(10):
        assert (await resolve(desk.code, "neighbour")).gift_card.card_id == desk.card_id


async def test_guesses_at_several_ledgers_add_up(ledger_database, valkey, key_file, cards, desk):
    """Whoever is turned away by one process is not let in by the next."""
    fields = {"code_key_file": key_file, "code_failures_burst": 3, "code_failure_interval_s": 60}
    codes = Codes(KEY)
    async with (
        running(ledger_database, valkey.url, **fields) as second,
        grpc.aio.insecure_channel(f"127.0.0.1:{second.port}") as channel,
    ):
        others = gift_card_service_pb2_grpc.GiftCardServiceStub(channel)

        def resolve(where, code):
            request = pb.ResolveGiftCardRequest(code=code, presenter_id="wanderer")
            return where.ResolveGiftCard(request)

        for number, where in enumerate((cards, others, cards)):
            guess = codes.draw(Kind.GIFT_CARD, "never issued", number)
            assert (await refused(resolve(where, guess))).reason == "CODE_NOT_FOUND"
        for where in (cards, others):
            assert (await refused(resolve(where, desk.code))).reason == "TOO_MANY_ATTEMPTS"


async def test_ledger_without_key_has_no_gift_cards(ledger_database, valkey):
    """And says so, instead of making codes that nobody will recognise."""
    async with (
        running(ledger_database, valkey.url) as keyless,
        grpc.aio.insecure_channel(f"127.0.0.1:{keyless.port}") as channel,
    ):
        cards = gift_card_service_pb2_grpc.GiftCardServiceStub(channel)
        assert (await refused(issue(cards))).reason == "CODES_NOT_CONFIGURED"


async def test_ledger_with_another_key_has_no_gift_cards(ledger_database, valkey, tmp_path, desk):
    """All codes ever issued would be unknown under it."""
    path = tmp_path / "key"
    path.write_text(base64.b64encode(bytes(32)).decode())
    async with (
        running(ledger_database, valkey.url, code_key_file=path) as other,
        grpc.aio.insecure_channel(f"127.0.0.1:{other.port}") as channel,
    ):
        cards = gift_card_service_pb2_grpc.GiftCardServiceStub(channel)
        request = pb.ResolveGiftCardRequest(code=desk.code)
        answer = await refused(cards.ResolveGiftCard(request))
        assert answer.reason == "CODES_NOT_CONFIGURED"
        assert desk.code not in json.dumps(answer.metadata)
