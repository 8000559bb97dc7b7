"""Gift cards, method by method."""

from typing import Any

import grpc
from tessera.ledger.v1 import account_pb2, batch_pb2, gift_card_service_pb2_grpc
from tessera.ledger.v1 import gift_card_service_pb2 as pb

from services.chassis import auth, clock, database, ids, timestamps
from services.ledger import codes, engine, errors, wire
from services.ledger.balances import Balances
from services.ledger.committer import Committer
from services.ledger.engine import codes as writing
from services.ledger.engine import giftcards
from services.ledger.engine.giftcards import State
from services.ledger.servicer import moving
from services.ledger.servicer.keyring import Keyring
from services.ledger.servicer.presenting import Presenting
from services.ledger.storage import Accounts, Act, Assets, GiftCards, Postings
from services.ledger.storage.gift_cards import Card, Draft, Issue

Context = grpc.aio.ServicerContext[Any, Any]
Money = (
    pb.ActivateGiftCardRequest
    | pb.TopUpGiftCardRequest
    | pb.RedeemGiftCardRequest
    | pb.RefundGiftCardRequest
)

CARD = "gcd"
_HINT = 4
_KIND = codes.Kind.GIFT_CARD
#: What requests call the fields of operations.
_NAMES = {
    "asset_code": "card_id",
    "debit.owner_id": "card_id",
    "credit.owner_id": "card_id",
    "batch_id": "paid_batch_id",
    "operation_index": "paid_operation_index",
}


class GiftCardServicer(gift_card_service_pb2_grpc.GiftCardServiceServicer):
    """Answers the calls of gift cards."""

    def __init__(
        self,
        *,
        cards: GiftCards,
        accounts: Accounts,
        keyring: Keyring,
        presenting: Presenting,
        committer: Committer,
        balances: Balances,
        postings: Postings,
        assets: Assets,
        now: clock.Clock = clock.system,
    ) -> None:
        self._cards = cards
        self._accounts = accounts
        self._keyring = keyring
        self._presenting = presenting
        self._committer = committer
        self._balances = balances
        self._postings = postings
        self._assets = assets
        self._now = now

    async def IssueGiftCards(
        self, request: pb.IssueGiftCardsRequest, context: Context
    ) -> pb.IssueGiftCardsResponse:
        """Make cards, or show those again that this request has made."""
        number, _ = await self._keyring.newest()
        if request.asset_code not in await self._assets.get([request.asset_code]):
            raise errors.AssetNotFound(asset_code=request.asset_code)
        wanted = Issue(request.asset_code, request.count, self._now(), number)
        issue = await self._cards.begin(request.request_id, wanted)
        made = await self._keyring.numbered(issue.key_number)
        for field, first, sent in (
            ("asset_code", issue.asset_code, request.asset_code),
            ("count", issue.card_count, request.count),
        ):
            if first != sent:
                raise errors.RequestConflict(field=field)
        response = pb.IssueGiftCardsResponse()
        for number in await self._complete(made, request.request_id, issue):
            code = made.draw(_KIND, request.request_id, number)
            response.gift_cards.add(
                card_id=ids.show(CARD, made.identify(_KIND, code)), code=writing.grouped(code)
            )
        return response

    async def _complete(self, made: codes.Codes, request_id: str, issue: Issue) -> list[int]:
        """Make the cards of an issue that are missing; return the numbers of all of them.

        A number whose code belongs to another issue already, once in a very long while, is skipped.
        """
        numbers = await self._cards.numbers(request_id)
        upcoming = 0
        while len(numbers) < issue.card_count:
            fresh = range(upcoming, upcoming + issue.card_count - len(numbers))
            drafts = [_draft(made, request_id, number) for number in fresh]
            await self._cards.add(request_id, issue, drafts)
            numbers = await self._cards.numbers(request_id)
            upcoming = fresh.stop
        return sorted(numbers)

    async def ResolveGiftCard(
        self, request: pb.ResolveGiftCardRequest, context: Context
    ) -> pb.ResolveGiftCardResponse:
        """Find the card behind a code."""
        card = await self._presenting.find(
            _KIND, request.code, presenter_id=request.presenter_id, find=self._cards.get
        )
        return pb.ResolveGiftCardResponse(gift_card=await self._show(card))

    async def GetGiftCard(
        self, request: pb.GetGiftCardRequest, context: Context
    ) -> pb.GetGiftCardResponse:
        """Read a card."""
        return pb.GetGiftCardResponse(
            gift_card=await self._show(await self._require(request.card_id))
        )

    async def ActivateGiftCard(
        self, request: pb.ActivateGiftCardRequest, context: Context
    ) -> pb.ActivateGiftCardResponse:
        """Activate a card with its first money: the money first, so no card is active in vain."""
        card = await self._require(request.card_id)
        giftcards.require_activable(card.state)
        batch_id, result = await self._fund(card, request)
        occurred_at = timestamps.read(request.occurred_time)
        card = await self._cards.activate(card.id, at=occurred_at) or await self._reread(card)
        return pb.ActivateGiftCardResponse(
            gift_card=await self._show(card, result), batch_id=batch_id
        )

    async def _fund(
        self, card: Card, request: pb.ActivateGiftCardRequest
    ) -> tuple[str, batch_pb2.BatchResult]:
        """Post the first money of a card; returns the batch and its result.

        The ids follow from the card, so that it is activated once, whoever asks. One that was
        refused keeps its id for ever: what was put right since takes the next.
        """
        funding = _move(card, request, moving.world(moving.ISSUANCE), moving.card(request.card_id))
        name = ["gift card activation", request.card_id]
        attempt = 0
        while True:
            batch_id = ids.derive(wire.BATCH, *name, *([str(attempt)] if attempt else ()))
            try:
                return batch_id, await self._post(batch_id, request, funding)
            except errors.RequestConflict:
                place = engine.Place(ids.parse(wire.BATCH, batch_id), 0)
                if await self._postings.targets([place]):
                    raise errors.GiftCardState(state=State.ACTIVE.name) from None
            attempt += 1

    async def TopUpGiftCard(
        self, request: pb.TopUpGiftCardRequest, context: Context
    ) -> pb.TopUpGiftCardResponse:
        """Add money to a card."""
        card = await self._require(request.card_id)
        batch_id = ids.derive(wire.BATCH, "gift card top-up", request.request_id)
        funding = _move(card, request, moving.world(moving.ISSUANCE), moving.card(request.card_id))
        result = await self._post_on_active(card, batch_id, request, funding)
        return pb.TopUpGiftCardResponse(gift_card=await self._show(card, result), batch_id=batch_id)

    async def RedeemGiftCard(
        self, request: pb.RedeemGiftCardRequest, context: Context
    ) -> pb.RedeemGiftCardResponse:
        """Pay with a card."""
        card = await self._require(request.card_id)
        batch_id = ids.derive(wire.BATCH, "gift card redemption", request.request_id)
        payment = _move(
            card, request, moving.card(request.card_id), moving.world(moving.REDEMPTION)
        )
        result = await self._post_on_active(card, batch_id, request, payment)
        return pb.RedeemGiftCardResponse(
            gift_card=await self._show(card, result), batch_id=batch_id
        )

    async def RefundGiftCard(
        self, request: pb.RefundGiftCardRequest, context: Context
    ) -> pb.RefundGiftCardResponse:
        """Give money back to the card that paid."""
        card = await self._require(request.card_id)
        await self._require_payment(card, request)
        batch_id = ids.derive(wire.BATCH, "gift card refund", request.request_id)
        undo = _undo(request.paid_batch_id, request.paid_operation_index, request.amount)
        result = await self._post_on_active(card, batch_id, request, undo)
        return pb.RefundGiftCardResponse(
            gift_card=await self._show(card, result), batch_id=batch_id
        )

    async def BlockGiftCard(
        self, request: pb.BlockGiftCardRequest, context: Context
    ) -> pb.BlockGiftCardResponse:
        """Block a card: from one instant on nothing is spent from its account."""
        card = await self._require(request.card_id)
        async with self._accounts.transaction() as tx:
            await self._change(tx, card, engine.Action.FREEZE, "The gift card was blocked.")
            await self._cards.block(tx, card.id, at=self._now())
        return pb.BlockGiftCardResponse(gift_card=await self._show(await self._reread(card)))

    async def UnblockGiftCard(
        self, request: pb.UnblockGiftCardRequest, context: Context
    ) -> pb.UnblockGiftCardResponse:
        """Unblock a card: what it holds may be spent again."""
        card = await self._require(request.card_id)
        async with self._accounts.transaction() as tx:
            await self._change(tx, card, engine.Action.UNFREEZE, "The gift card was unblocked.")
            if await self._cards.unblock(tx, card.id) is None:
                raise errors.GiftCardState(state=(await self._reread(card, tx)).state.name)
        return pb.UnblockGiftCardResponse(gift_card=await self._show(await self._reread(card)))

    async def _change(
        self, tx: database.Queryable, card: Card, action: engine.Action, note: str
    ) -> None:
        """Freeze or unfreeze a card's account; a closed one moves nothing in any case."""
        asset = (await self._assets.get([card.asset_code]))[card.asset_code]
        account = await self._accounts.lock(tx, _key(card), asset)
        if account.state is engine.AccountState.CLOSED:
            return
        if asset.opened_explicitly and not account.version:
            return  # nothing comes to it before somebody opens it
        changed = engine.changed(account, action)
        if changed.version != account.version:
            act = Act(changed.version, action, auth.current().client_id, note, self._now())
            await self._accounts.save(tx, changed, act)

    async def _require_payment(self, card: Card, request: pb.RefundGiftCardRequest) -> None:
        """Raise TransferNotFound unless the card itself paid with the operation."""
        batch_id = ids.parse(wire.BATCH, request.paid_batch_id)
        place = engine.Place(batch_id, request.paid_operation_index)
        paid = (await self._postings.targets([place])).get(place)
        key = _key(card)
        if not isinstance(paid, engine.Moved) or paid.debit != key or not paid.credit.is_world:
            raise errors.TransferNotFound

    async def _post_on_active(
        self, card: Card, batch_id: str, request: Money, operation: batch_pb2.Operation
    ) -> batch_pb2.BatchResult:
        """Post on an active card; what was posted before is answered whatever the state is now."""
        if card.state is not State.ACTIVE and not await self._postings.is_known(
            ids.parse(wire.BATCH, batch_id)
        ):
            giftcards.require_active(card.state)
        return await self._post(batch_id, request, operation)

    async def _post(
        self, batch_id: str, request: Money, operation: batch_pb2.Operation
    ) -> batch_pb2.BatchResult:
        return await moving.post(
            self._committer,
            batch_id,
            [operation],
            occurred_time=request.occurred_time,
            receipt_id=request.receipt_id,
            names=_NAMES,
        )

    async def _require(self, card_id: str) -> Card:
        card = await self._cards.get(ids.parse(CARD, card_id))
        if card is None:
            raise errors.GiftCardNotFound
        return card

    async def _reread(self, card: Card, tx: database.Queryable | None = None) -> Card:
        found = await self._cards.get(card.id, tx)
        assert found is not None
        return found

    async def _show(self, card: Card, result: batch_pb2.BatchResult | None = None) -> pb.GiftCard:
        """Return a card with what it holds after `result`, or later."""
        key = _key(card)
        versions = [one.version for one in result.balances] if result is not None else []
        found = await self._balances.read([key], version_min=max(versions, default=0))
        balance = found[key.id]
        is_blocked = card.state is State.BLOCKED
        return pb.GiftCard(
            card_id=ids.show(CARD, card.id),
            asset_code=card.asset_code,
            state=pb.GiftCardState.ValueType(card.state),
            hint=card.hint,
            available=0 if is_blocked else balance.available,
            blocked_amount=balance.available if is_blocked else 0,
            next_expire_time=timestamps.show(balance.next_expire_at),
            next_expire_amount=balance.next_expire_amount,
            create_time=timestamps.show(card.created_at),
            activate_time=timestamps.show(card.activated_at),
        )


def _draft(made: codes.Codes, request_id: str, number: int) -> Draft:
    code = made.draw(_KIND, request_id, number)
    return Draft(made.identify(_KIND, code), number, code[-_HINT:])


def _key(card: Card) -> engine.Key:
    return engine.key(card.asset_code, account_pb2.OWNER_TYPE_CARD, ids.show(CARD, card.id))


def _move(
    card: Card, request: Money, debit: account_pb2.Owner, credit: account_pb2.Owner
) -> batch_pb2.Operation:
    pays = debit.owner_type == account_pb2.OWNER_TYPE_CARD
    return batch_pb2.Operation(
        transfer=batch_pb2.Transfer(
            asset_code=card.asset_code,
            debit=debit,
            credit=credit,
            amount=request.amount,
            reason=account_pb2.TRANSFER_REASON_REDEEM if pays else account_pb2.TRANSFER_REASON_FUND,
        )
    )


def _undo(batch_id: str, operation_index: int, amount: int) -> batch_pb2.Operation:
    return batch_pb2.Operation(
        reversal=batch_pb2.Reversal(
            batch_id=batch_id,
            operation_index=operation_index,
            amount=amount,
            shortfall=batch_pb2.SHORTFALL_REFUSE,
        )
    )
