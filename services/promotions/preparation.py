"""What the ledger must hold before a campaign can work: assets, bounds of counters, budgets.

Everything here may be done again: after an outage, or by a second process at the same time.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from tessera.ledger.v1 import account_pb2, asset_pb2, batch_pb2

from services.chassis import errors as chassis_errors
from services.chassis import ids, timestamps
from services.promotions import config, engine, errors
from services.promotions.peers.ledger import Ledger
from services.promotions.wire import accounts, batches

_RETRY_S = 1.0
_CALLS_MAX = 16
_MONEY_SCALE = 2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Before:
    """What is live of a campaign that changes: its budget, and when the change was written."""

    budget_minor: int
    successor_time: datetime


class Preparation:
    """Makes room in the ledger."""

    def __init__(self, ledger: Ledger, settings: config.Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._program_is_made = False

    async def run(self) -> None:
        """Make the program's own assets, as soon as the ledger answers."""
        while True:
            try:
                return await self._make_program()
            except errors.DependencyUnavailable:
                await asyncio.sleep(_RETRY_S)

    async def _make_program(self) -> None:
        if not self._program_is_made:
            for asset in program_assets(self._settings):
                await self._ledger.create_asset(asset)
            self._program_is_made = True

    async def prepare(
        self,
        campaigns: Iterable[engine.Campaign],
        *,
        before: Mapping[str, Before],
        made: Mapping[str, datetime],
        now: datetime,
    ) -> None:
        """Make what campaigns need, beyond what the versions `before` them have made already.

        `made` is when each that carts see was first written. Whoever calls is the only one who
        publishes.

        Raises DependencyUnavailable, and then calls again later.
        """
        await self._make_program()
        free = asyncio.Semaphore(_CALLS_MAX)

        async def bounded(work: Awaitable[None]) -> None:
            async with free:
                await work

        works = [
            work
            for campaign in campaigns
            for work in (
                *self._works(campaign, before.get(campaign.campaign_id), now),
                *self._puttings(campaign, made),
            )
        ]
        # All of them end before we do: nothing may happen behind the back of the next publisher.
        outcomes = await asyncio.gather(*map(bounded, works), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _works(
        self, campaign: engine.Campaign, before: Before | None, now: datetime
    ) -> Iterator[Awaitable[None]]:
        campaign_id, limits = campaign.campaign_id, campaign.rules.limits
        if limits.uses_max:
            yield self._ledger.set_ceiling(accounts.uses(campaign_id), limits.uses_max)
        if limits.budget_minor and before is not None and before.budget_minor:
            yield self._raise(campaign, before)
        elif limits.budget_minor:
            yield self._fund(campaign_id, limits.budget_minor, now)
        if limits.units_max:
            yield self._ledger.set_ceiling(accounts.units(campaign_id), limits.units_max)
        for bound, name_asset in (
            (limits.uses_per_member_max, accounts.member_uses_asset),
            (limits.units_per_article_max, accounts.article_units_asset),
            (limits.units_per_member_max, accounts.member_units_asset),
        ):
            if bound:
                asset = asset_pb2.Asset(asset_code=name_asset(campaign_id, bound), ceiling=bound)
                yield self._ledger.create_asset(asset)
        for card in sorted(campaign.rules.cards):
            code = accounts.stamps_asset(card)
            yield self._ledger.create_asset(asset_pb2.Asset(asset_code=code))
        trigger = campaign.rules.trigger
        if isinstance(trigger, engine.CouponTrigger) and trigger.personal:
            code = accounts.coupon_asset(campaign_id)
            # In lots, for some are given with an end of their own.
            policy = asset_pb2.LotPolicy(time_zone=self._settings.points.time_zone)
            yield self._ledger.create_asset(asset_pb2.Asset(asset_code=code, lot_policy=policy))
        if isinstance(trigger, engine.CouponTrigger) and trigger.stamps is not None:
            code = accounts.stamps_asset(trigger.stamps.card_id)
            yield self._ledger.create_asset(asset_pb2.Asset(asset_code=code))

    def _puttings(
        self, campaign: engine.Campaign, made: Mapping[str, datetime]
    ) -> Iterator[Awaitable[None]]:
        """Yield what puts prizes of chances where they come out by themselves, portion by portion.

        Batches follow from the terms, so that doing it again puts nothing twice, and prizes of
        terms that never went live are nowhere near those that did.
        """
        win, campaign_id = campaign.rules.instant_win, campaign.campaign_id
        if win is None or campaign_id not in made:
            return
        terms = engine.instant_wins.Terms(campaign_id, win)
        for place, prize in enumerate(win.prizes):
            account = accounts.prizes(engine.instant_wins.find_account(terms, place))
            portions = list(engine.instant_wins.portions(prize.count, period=win.period))
            for start in range(0, len(portions), batches.OPERATIONS_MAX):
                batch = batch_pb2.Batch(
                    batch_id=ids.derive("bat", account.owner_id, "prizes", str(start)),
                    operations=[
                        _put_out(campaign_id, account, moment, count)
                        for moment, count in portions[start : start + batches.OPERATIONS_MAX]
                    ],
                    occurred_time=timestamps.show(made[campaign_id]),
                )
                yield self._put(campaign_id, batch)

    async def _put(self, campaign_id: str, batch: batch_pb2.Batch) -> None:
        result = await self._ledger.post(batch)
        if result.state != batch_pb2.BATCH_STATE_POSTED:
            log.error("prizes not put out", campaign_id=campaign_id, why=str(result.refusal))
            raise errors.DependencyUnavailable(service="ledger")

    async def grant(
        self,
        request_id: str,
        *,
        campaign_id: str,
        member_ids: Sequence[str],
        uses: int,
        now: datetime,
    ) -> None:
        """Give members uses of a personal coupon, once for each `request_id` and its `now`."""
        operations = [
            _granted(campaign_id, member_id=member_id, uses=uses) for member_id in member_ids
        ]
        posts = [
            self._ledger.post(
                batch_pb2.Batch(
                    batch_id=ids.derive("bat", "grant", request_id, str(start)),
                    operations=operations[start : start + batches.OPERATIONS_MAX],
                    occurred_time=timestamps.show(now),
                )
            )
            for start in range(0, len(operations), batches.OPERATIONS_MAX)
        ]
        for result in await asyncio.gather(*posts):
            if result.state != batch_pb2.BATCH_STATE_POSTED:
                log.error("coupons not granted", request_id=request_id, why=str(result.refusal))
                raise chassis_errors.Internal

    async def _fund(self, campaign_id: str, target: int, now: datetime) -> None:
        """Bring the budget of a campaign that is not live to `target`, whatever was tried before.

        The batch id follows from the account's version: a call that seemed lost and comes again
        funds nothing twice.
        """
        account = accounts.budget(campaign_id, self._settings.currency_code)
        balance = await self._ledger.balance(account)
        missing = target - balance.available
        batch_id = ids.derive("bat", campaign_id, "fund", str(balance.version), str(target))
        await self._move(campaign_id, missing, batch_id, now)

    async def _raise(self, campaign: engine.Campaign, before: Before) -> None:
        """Add to the budget of a campaign that is live, once for each of its versions."""
        campaign_id, version = campaign.campaign_id, str(campaign.version)
        amount = campaign.rules.limits.budget_minor - before.budget_minor
        batch_id = ids.derive("bat", campaign_id, "raise", version)
        await self._move(campaign_id, amount, batch_id, before.successor_time)

    async def _move(self, campaign_id: str, amount: int, batch_id: str, now: datetime) -> None:
        if not amount:
            return
        account = accounts.budget(campaign_id, self._settings.currency_code)
        funding, budget = accounts.world(accounts.FUNDING), accounts.owner(account)
        transfer = batch_pb2.Transfer(
            asset_code=account.asset_code,
            debit=funding if amount > 0 else budget,
            credit=budget if amount > 0 else funding,
            amount=abs(amount),
            reason=account_pb2.TRANSFER_REASON_FUND,
            campaign_id=campaign_id,
        )
        batch = batch_pb2.Batch(
            batch_id=batch_id,
            operations=[batch_pb2.Operation(transfer=transfer)],
            occurred_time=timestamps.show(now),
        )
        result = await self._ledger.post(batch)
        if result.state != batch_pb2.BATCH_STATE_POSTED:
            # The budget moved under our hands: the next try sees where it is.
            log.warning("budget not funded", campaign_id=campaign_id, why=str(result.refusal))
            raise errors.DependencyUnavailable(service="ledger")


def _granted(campaign_id: str, *, member_id: str, uses: int) -> batch_pb2.Operation:
    held = accounts.coupons(member_id, campaign_id)
    return batch_pb2.Operation(
        transfer=batch_pb2.Transfer(
            asset_code=held.asset_code,
            debit=accounts.world(accounts.ISSUANCE),
            credit=accounts.owner(held),
            amount=uses,
            reason=account_pb2.TRANSFER_REASON_FUND,
            campaign_id=campaign_id,
        )
    )


def _put_out(
    campaign_id: str, account: accounts.Account, moment: datetime, count: int
) -> batch_pb2.Operation:
    return batch_pb2.Operation(
        transfer=batch_pb2.Transfer(
            asset_code=account.asset_code,
            debit=accounts.world(accounts.FUNDING),
            credit=accounts.owner(account),
            amount=count,
            reason=account_pb2.TRANSFER_REASON_FUND,
            campaign_id=campaign_id,
            lot_activate_time=timestamps.show(moment),
        )
    )


def program_assets(settings: config.Settings) -> list[asset_pb2.Asset]:
    """Return the assets that the program needs whatever its campaigns are."""
    return [
        _points_asset(settings.points),
        asset_pb2.Asset(asset_code=accounts.USES_ASSET),
        asset_pb2.Asset(asset_code=accounts.UNITS_ASSET),
        asset_pb2.Asset(
            asset_code=accounts.PRIZES_ASSET,
            # In lots, for they come out at their times.
            lot_policy=asset_pb2.LotPolicy(time_zone=settings.points.time_zone),
        ),
        asset_pb2.Asset(
            asset_code=accounts.budget_asset(settings.currency_code), scale=_MONEY_SCALE
        ),
    ]


def _points_asset(points: config.PointsSettings) -> asset_pb2.Asset:
    # Even points that never expire are kept in lots: campaigns may give some that do.
    policy = asset_pb2.LotPolicy(time_zone=points.time_zone)
    if points.expire_months:
        policy.rolling.months = points.expire_months
        policy.rolling.rounding = asset_pb2.EXPIRY_ROUNDING_END_OF_MONTH
    return asset_pb2.Asset(asset_code=points.asset_code, scale=points.scale, lot_policy=policy)
