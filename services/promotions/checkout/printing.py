"""Coupons that are printed on receipts: a unique code for whoever bears it.

The ledger draws a code from its key and from the name that we give it, which follows from the
receipt. So a repeated call draws the same code again, and nobody keeps it: what we keep is the
coupon behind it, which the batch of the receipt fills.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from tessera.ledger.v1 import batch_pb2
from tessera.promotions.v1 import checkout_pb2

from services.chassis import ids, timestamps
from services.promotions import engine, errors, storage
from services.promotions.checkout.offers import Decided
from services.promotions.peers.ledger import Ledger
from services.promotions.storage.receipts import Receipt
from services.promotions.wire import accounts, batches, evaluations

_SERIES = "cps"
_GONE = frozenset({storage.receipts.VOIDED, storage.receipts.RETURNED})


class Printing:
    """Draws the codes of coupons for bearers; days end in `zone`."""

    def __init__(self, ledger: Ledger, *, zone: ZoneInfo) -> None:
        self._ledger = ledger
        self._zone = zone

    async def prepare(self, receipt_id: str, decided: Decided) -> Decided:
        """Return what was decided with the coupons behind the codes that will be printed.

        Raises DependencyUnavailable.
        """
        grants = decided.decision.coupon_grants
        if not any(grant.bearer for grant in grants):
            return decided
        filled = await asyncio.gather(
            *(
                self._fill(receipt_id, place, grant, decided.ruleset)
                for place, grant in enumerate(grants)
            )
        )
        return replace(decided, decision=replace(decided.decision, coupon_grants=tuple(filled)))

    async def _fill(
        self, receipt_id: str, place: int, grant: engine.CouponGrant, ruleset: engine.Ruleset
    ) -> engine.CouponGrant:
        campaign_id = grant.coupon_campaign_id
        if not grant.bearer or not engine.answers_to_bearers(ruleset, campaign_id):
            return grant
        drawn = await self._ledger.draw_coupon(
            _name(receipt_id, place, campaign_id, grant.uses),
            campaign_id=campaign_id,
            uses=grant.uses,
        )
        return grant._replace(coupon_id=drawn.coupon_id)

    async def tell(self, receipt: Receipt) -> list[checkout_pb2.PrintedCoupon]:
        """Return what is to be printed with a recorded purchase."""
        if receipt.state in _GONE or not receipt.batch:
            return []
        told = (self._tell(receipt, place, transfer) for place, transfer in _printed(receipt))
        return list(await asyncio.gather(*told))

    async def _tell(
        self, receipt: Receipt, place: int, transfer: batch_pb2.Transfer
    ) -> checkout_pb2.PrintedCoupon:
        coupon_campaign_id = transfer.asset_code.removeprefix(accounts.COUPONS)
        told = checkout_pb2.PrintedCoupon(
            campaign_id=transfer.campaign_id,
            coupon_campaign_id=coupon_campaign_id,
            uses=transfer.amount,
        )
        last_day: date | None = None
        if transfer.HasField("lot_expire_time"):
            told.expire_time.CopyFrom(transfer.lot_expire_time)
            end = timestamps.read(transfer.lot_expire_time)
            last_day = (end - timedelta(microseconds=1)).astimezone(self._zone).date()
        name = _name(receipt.receipt_id, place, coupon_campaign_id, transfer.amount)
        try:
            drawn = await self._ledger.draw_coupon(
                name, campaign_id=coupon_campaign_id, uses=transfer.amount
            )
        except errors.DependencyUnavailable:
            return told  # what was recorded stays so; the code waits for another call
        told.code = drawn.code
        told.text.CopyFrom(evaluations.show_text(engine.tell_printed(drawn.code, last_day)))
        return told


def _name(receipt_id: str, place: int, campaign_id: str, uses: int) -> str:
    """Return the series of a code: a key that was tried with another cart has other codes."""
    return ids.derive(_SERIES, receipt_id, str(place), campaign_id, str(uses))


def _printed(receipt: Receipt) -> Iterator[tuple[int, batch_pb2.Transfer]]:
    """Yield what fills a code, with its place among the grants of the receipt."""
    batch = batch_pb2.Batch.FromString(receipt.batch)
    filling = [one.transfer for one in batch.operations if batches.is_printed(one)]
    grants = checkout_pb2.Evaluation.FromString(receipt.evaluation).coupon_grants
    for place, grant in enumerate(grants):
        asset_code = accounts.coupon_asset(grant.coupon_campaign_id)
        head = filling[0] if grant.bearer and filling else None
        if head is not None and (head.campaign_id, head.asset_code, head.amount) == (
            grant.campaign_id,
            asset_code,
            grant.uses,
        ):
            yield place, filling.pop(0)
