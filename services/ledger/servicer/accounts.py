"""Opening, freezing and closing accounts, method by method."""

from typing import Any

import grpc
from tessera.ledger.v1 import account_pb2, account_service_pb2_grpc
from tessera.ledger.v1 import account_service_pb2 as pb

from services.chassis import clock, ids
from services.ledger import engine, errors, pages, wire
from services.ledger.committer import Committer
from services.ledger.servicer.gift_cards import CARD
from services.ledger.storage import Accounts, Act, Assets, GiftCards

Context = grpc.aio.ServicerContext[Any, Any]

_PAGE = 50
_NUMBER_MAX = 2**63 - 1

Change = (
    pb.FreezeAccountRequest
    | pb.UnfreezeAccountRequest
    | pb.CloseAccountRequest
    | pb.ReopenAccountRequest
)


class AccountServicer(account_service_pb2_grpc.AccountServiceServicer):
    """Answers what people want of single accounts."""

    def __init__(
        self,
        *,
        committer: Committer,
        accounts: Accounts,
        cards: GiftCards,
        assets: Assets,
        now: clock.Clock = clock.system,
    ) -> None:
        self._committer = committer
        self._accounts = accounts
        self._cards = cards
        self._assets = assets
        self._now = now

    async def OpenAccount(
        self, request: pb.OpenAccountRequest, context: Context
    ) -> pb.OpenAccountResponse:
        """Open an account, or find that it is open."""
        key, asset = await self._named(request.account)
        floor = request.floor if request.HasField("floor") else asset.floor
        ceiling = request.ceiling if request.HasField("ceiling") else asset.ceiling
        async with self._accounts.transaction() as tx:
            account = await self._accounts.lock(tx, key, asset)
            if account.version:
                if field := engine.differs(account, floor=floor, ceiling=ceiling):
                    raise errors.AccountConflict(field=field)
                return pb.OpenAccountResponse(account=wire.account(account))
            account = engine.limited(account, asset, floor=floor, ceiling=ceiling)
            act = self._act(account, engine.Action.OPEN, request.operator_id, request.note)
            await self._accounts.save(tx, account, act)
        return pb.OpenAccountResponse(account=wire.account(account))

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Context
    ) -> pb.GetAccountResponse:
        """Read an account's limits and state."""
        key, _ = await self._named(request.account)
        account = await self._accounts.get(key)
        if account is None:
            raise errors.AccountNotFound
        return pb.GetAccountResponse(account=wire.account(account))

    async def FreezeAccount(
        self, request: pb.FreezeAccountRequest, context: Context
    ) -> pb.FreezeAccountResponse:
        """Let nothing be spent."""
        return pb.FreezeAccountResponse(account=await self._change(request, engine.Action.FREEZE))

    async def UnfreezeAccount(
        self, request: pb.UnfreezeAccountRequest, context: Context
    ) -> pb.UnfreezeAccountResponse:
        """Let value be spent again."""
        changed = await self._change(request, engine.Action.UNFREEZE)
        return pb.UnfreezeAccountResponse(account=changed)

    async def CloseAccount(
        self, request: pb.CloseAccountRequest, context: Context
    ) -> pb.CloseAccountResponse:
        """Let nothing move any more."""
        return pb.CloseAccountResponse(account=await self._change(request, engine.Action.CLOSE))

    async def ReopenAccount(
        self, request: pb.ReopenAccountRequest, context: Context
    ) -> pb.ReopenAccountResponse:
        """Use a closed account again."""
        return pb.ReopenAccountResponse(account=await self._change(request, engine.Action.REOPEN))

    async def ListAccountActs(
        self, request: pb.ListAccountActsRequest, context: Context
    ) -> pb.ListAccountActsResponse:
        """List what people did to an account, newest first."""
        key, _ = await self._named(request.account)
        name = f"acts {key.id}"
        below = pages.position(name, request.page_token, pages.number)
        limit = request.page_size or _PAGE
        acts = await self._accounts.acts(
            key.id, below=_NUMBER_MAX if below is None else below, limit=limit + 1
        )
        response = pb.ListAccountActsResponse(acts=map(wire.act, acts[:limit]))
        if len(acts) > limit:
            response.next_page_token = pages.token(name, acts[limit - 1].number)
        return response

    async def _change(self, request: Change, action: engine.Action) -> account_pb2.Account:
        key, asset = await self._named(request.account)
        await self._leave_to_gift_card(key)
        await self._committer.sweep([key])  # what has expired is no longer on it
        async with self._accounts.transaction() as tx:
            account = await self._accounts.lock(tx, key, asset)
            if not account.version:
                raise errors.AccountNotFound
            changed = engine.changed(account, action)
            if changed.version != account.version:
                act = self._act(changed, action, request.operator_id, request.note)
                await self._accounts.save(tx, changed, act)
        return wire.account(changed)

    async def _leave_to_gift_card(self, key: engine.Key) -> None:
        """Raise GiftCardAccount for an account that stands as its card does."""
        if key.owner_type != account_pb2.OWNER_TYPE_CARD:
            return
        try:
            card_id = ids.parse(CARD, key.owner_id)
        except ValueError:
            return
        card = await self._cards.get(card_id)
        if card is not None and card.asset_code == key.asset_code:
            raise errors.GiftCardAccount(card_id=key.owner_id)

    def _act(
        self, account: engine.Account, action: engine.Action, operator_id: str, note: str
    ) -> Act:
        return Act(account.version, action, operator_id, note, self._now())

    async def _named(self, sent: account_pb2.AccountKey) -> tuple[engine.Key, engine.Asset]:
        key = wire.key(sent)
        asset = (await self._assets.get([key.asset_code])).get(key.asset_code)
        if asset is None:
            raise errors.AssetNotFound(asset_code=key.asset_code)
        return key, asset
