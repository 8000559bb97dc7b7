"""Coupons behind codes, method by method."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
from tessera.ledger.v1 import account_pb2, batch_pb2, coupon_service_pb2_grpc
from tessera.ledger.v1 import coupon_service_pb2 as pb

from services.chassis import clock, ids, timestamps
from services.ledger import codes, engine, errors, pages, wire
from services.ledger.balances import Balances
from services.ledger.committer import Committer
from services.ledger.engine import codes as writing
from services.ledger.servicer import moving
from services.ledger.servicer.keyring import Keyring
from services.ledger.servicer.presenting import Presenting
from services.ledger.storage import Assets, Coupons
from services.ledger.storage.coupons import Coupon, Numbered, Series

Context = grpc.aio.ServicerContext[Any, Any]

COUPON, _SERIES = "cpn", "cps"
_KIND = codes.Kind.COUPON
_PAGE = 1000
#: Codes that one answer of a stream stands for.
_CODES_AT_ONCE = 1000
#: Where uses go that were taken back.
_REVOKED = "revoked"
_EVERYTHING = 10**15
#: What a claim calls the fields of its operation.
_NAMES = {
    "asset_code": "code",
    "campaign_id": "code",
    "debit.owner_id": "code",
    "credit.owner_id": "member_id",
}


class CouponServicer(coupon_service_pb2_grpc.CouponServiceServicer):
    """Answers the calls of coupons."""

    def __init__(
        self,
        *,
        coupons: Coupons,
        keyring: Keyring,
        presenting: Presenting,
        committer: Committer,
        balances: Balances,
        assets: Assets,
        now: clock.Clock = clock.system,
    ) -> None:
        self._coupons = coupons
        self._keyring = keyring
        self._presenting = presenting
        self._committer = committer
        self._balances = balances
        self._assets = assets
        self._now = now

    async def CreateCouponSeries(
        self, request: pb.CreateCouponSeriesRequest, context: Context
    ) -> pb.CreateCouponSeriesResponse:
        """Begin a series, or find how far it is."""
        number, made = await self._keyring.newest()
        if request.asset_code not in await self._assets.get([request.asset_code]):
            raise errors.AssetNotFound(asset_code=request.asset_code)
        shared = writing.normalised(request.shared_code)
        wanted = self._begun(request, code_count=request.code_count, key_number=number)
        await self._require_free(shared, wanted.id)
        series = await self._coupons.create(_sharing(wanted, made, shared))
        made = await self._keyring.numbered(series.key_number)
        _require_same(series, _sharing(wanted, made, shared))
        if series.shared_coupon_id is not None:
            await self._coupons.add(series.id, [Numbered(0, series.shared_coupon_id)])
            await self._require_free(shared, series.id)
        return pb.CreateCouponSeriesResponse(series=_show(series))

    async def IssueCoupons(
        self, request: pb.IssueCouponsRequest, context: Context
    ) -> AsyncIterator[pb.IssueCouponsResponse]:
        """Make codes and fill them, until all are there."""
        series = await self._require(request.series_id)
        made = await self._keyring.numbered(series.key_number)
        while series.issued_count < series.code_count:
            if series.revoked_at is not None:
                raise errors.CouponRevoked
            series = await self._issue_some(made, series)
            yield pb.IssueCouponsResponse(series=_show(series))
        yield pb.IssueCouponsResponse(series=_show(series))

    async def GetCouponSeries(
        self, request: pb.GetCouponSeriesRequest, context: Context
    ) -> pb.GetCouponSeriesResponse:
        """Read how far a series is."""
        return pb.GetCouponSeriesResponse(series=_show(await self._require(request.series_id)))

    async def ListCouponCodes(
        self, request: pb.ListCouponCodesRequest, context: Context
    ) -> pb.ListCouponCodesResponse:
        """List issued codes, drawn once more."""
        series = await self._require(request.series_id)
        made = await self._keyring.numbered(series.key_number)
        name = f"codes {series.id}"
        first = pages.position(name, request.page_token, pages.small_number) or 0
        limit = request.page_size or _PAGE
        found = await self._coupons.numbered(
            series.id, first=first, end=series.next_number, limit=limit + 1
        )
        response = pb.ListCouponCodesResponse()
        for number, coupon_id in found[:limit]:
            code = "" if series.shared_coupon_id else _draw(made, series.id, number)
            response.codes.add(coupon_id=ids.show(COUPON, coupon_id), code=writing.grouped(code))
        if len(found) > limit:
            response.next_page_token = pages.token(name, found[limit].number)
        return response

    async def DrawCoupon(
        self, request: pb.DrawCouponRequest, context: Context
    ) -> pb.DrawCouponResponse:
        """Make one code that the caller fills, or draw it once more."""
        number, made = await self._keyring.newest()
        if request.asset_code not in await self._assets.get([request.asset_code]):
            raise errors.AssetNotFound(asset_code=request.asset_code)
        wanted = self._begun(request, code_count=1, key_number=number)
        await self._coupons.draw(wanted, made.identify(_KIND, _draw(made, wanted.id, 0)))
        series = await self._coupons.get(wanted.id)
        if series is None:
            raise errors.CodeTaken  # one of 2^54 was drawn twice
        _require_same(series, wanted)
        made = await self._keyring.numbered(series.key_number)
        code = _draw(made, wanted.id, 0)
        coupon_id = ids.show(COUPON, made.identify(_KIND, code))
        return pb.DrawCouponResponse(coupon_id=coupon_id, code=writing.grouped(code))

    async def ResolveCoupon(
        self, request: pb.ResolveCouponRequest, context: Context
    ) -> pb.ResolveCouponResponse:
        """Find the coupon behind a code."""
        coupon = await self._find(request.code, request.presenter_id)
        found = await self._balances.read([_key(coupon)])
        return pb.ResolveCouponResponse(
            coupon=_show_coupon(coupon, found[_key(coupon).id].available)
        )

    async def ClaimCoupon(
        self, request: pb.ClaimCouponRequest, context: Context
    ) -> pb.ClaimCouponResponse:
        """Move one use to a member."""
        coupon = await self._find(request.code, request.member_id)
        member = account_pb2.Owner(
            owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=request.member_id
        )
        claim = batch_pb2.Transfer(
            asset_code=coupon.asset_code,
            debit=moving.card(ids.show(COUPON, coupon.id)),
            credit=member,
            amount=1,
            reason=account_pb2.TRANSFER_REASON_TRANSFER,
            campaign_id=coupon.campaign_id,
        )
        result = await moving.post(
            self._committer,
            ids.derive(wire.BATCH, "coupon claim", request.request_id),
            [batch_pb2.Operation(transfer=claim)],
            occurred_time=request.occurred_time,
            names=_NAMES,
        )
        left = {one.account.owner.owner_id: one.available for one in result.balances}
        return pb.ClaimCouponResponse(
            coupon=_show_coupon(coupon, left[ids.show(COUPON, coupon.id)]),
            member_available=left[request.member_id],
        )

    async def RevokeCoupon(
        self, request: pb.RevokeCouponRequest, context: Context
    ) -> pb.RevokeCouponResponse:
        """Revoke a code: it is not found any more, then its uses are taken back."""
        coupon = await self._coupons.coupon(ids.parse(COUPON, request.coupon_id))
        if coupon is None:
            raise errors.CouponNotFound
        since = await self._coupons.revoke_coupon(coupon.id, at=self._now())
        (taken,) = await moving.take_back(
            self._committer,
            (wire.BATCH, "coupon revocation", request.coupon_id),
            [_taken_back(coupon.asset_code, coupon.campaign_id, coupon.id)],
            occurred_time=timestamps.show(since),
        )
        return pb.RevokeCouponResponse(revoked_uses=taken.amount)

    async def RevokeCouponSeries(
        self, request: pb.RevokeCouponSeriesRequest, context: Context
    ) -> AsyncIterator[pb.RevokeCouponSeriesResponse]:
        """Revoke a series: none of it is found any more, then its uses are taken back."""
        series_id = ids.parse(_SERIES, request.series_id)
        series = await self._coupons.revoke(series_id, at=self._now())
        if series is None:
            raise errors.SeriesNotFound
        while series.revoked_number < series.next_number:
            yield pb.RevokeCouponSeriesResponse(series=_show(series))
            series = await self._revoke_some(series)
        yield pb.RevokeCouponSeriesResponse(series=_show(series))

    def _begun(
        self,
        request: pb.CreateCouponSeriesRequest | pb.DrawCouponRequest,
        *,
        code_count: int,
        key_number: int,
    ) -> Series:
        """Return the series that is asked for, as it begins."""
        return Series(
            ids.parse(_SERIES, request.series_id),
            request.campaign_id,
            request.asset_code,
            code_count,
            request.uses,
            None,
            0,
            0,
            0,
            0,
            self._now(),
            None,
            key_number,
        )

    async def _issue_some(self, made: codes.Codes, series: Series) -> Series:
        """Make and fill the next codes; the same ones again, when that was cut in the middle."""
        first = series.next_number
        end = first + min(_CODES_AT_ONCE, series.code_count - series.issued_count)
        if series.shared_coupon_id is None:
            drafts = (
                Numbered(number, made.identify(_KIND, _draw(made, series.id, number)))
                for number in range(first, end)
            )
            await self._coupons.add(series.id, list(drafts))
        found = await self._coupons.numbered(series.id, first=first, end=end, limit=end - first)
        if series.shared_coupon_id is not None and not found:
            raise errors.CodeTaken  # two series began with the same code at the same time
        operations = [_filled(series, one.coupon_id) for one in found]
        await moving.post_each(
            self._committer,
            (wire.BATCH, "coupon issue", series.id.hex, str(first)),
            operations,
            occurred_time=timestamps.show(series.created_at),
        )
        return await self._coupons.note_issued(series, next_number=end, count=len(found))

    async def _revoke_some(self, series: Series) -> Series:
        first = series.revoked_number
        end = min(first + _CODES_AT_ONCE, series.next_number)
        found = await self._coupons.numbered(series.id, first=first, end=end, limit=end - first)
        assert series.revoked_at is not None
        operations = [
            _taken_back(series.asset_code, series.campaign_id, one.coupon_id) for one in found
        ]
        await moving.take_back(
            self._committer,
            (wire.BATCH, "series revocation", series.id.hex, str(first)),
            operations,
            occurred_time=timestamps.show(series.revoked_at),
        )
        return await self._coupons.note_revoked(series, next_number=end, count=len(found))

    async def _find(self, code: str, presenter_id: str) -> Coupon:
        coupon = await self._presenting.find(
            _KIND,
            code,
            presenter_id=presenter_id,
            find=self._coupons.coupon,
            is_checked=False,
        )
        if coupon.revoked_at is not None:
            raise errors.CouponRevoked
        return coupon

    async def _require(self, series_id: str) -> Series:
        series = await self._coupons.get(ids.parse(_SERIES, series_id))
        if series is None:
            raise errors.SeriesNotFound
        return series

    async def _require_free(self, shared: str, series_id: UUID) -> None:
        """Raise CodeTaken for a shared code that another series has, under whichever key."""
        for made in await self._keyring.all() if shared else ():
            taken = await self._coupons.coupon(made.identify(_KIND, shared))
            if taken is not None and taken.series_id != series_id:
                raise errors.CodeTaken


def _require_same(series: Series, wanted: Series) -> None:
    """Raise RequestConflict for a series that was begun with other properties."""
    for field in ("campaign_id", "asset_code", "code_count", "uses", "shared_coupon_id"):
        if getattr(series, field) != getattr(wanted, field):
            raise errors.RequestConflict(field=field.replace("coupon_id", "code"))


def _sharing(series: Series, made: codes.Codes, shared: str) -> Series:
    """Return a series with the coupon of its shared code, if it has one."""
    coupon_id = made.identify(_KIND, shared) if shared else None
    return series._replace(shared_coupon_id=coupon_id)


def _draw(made: codes.Codes, series_id: UUID, number: int) -> str:
    return made.draw(_KIND, series_id.hex, number)


def _key(coupon: Coupon) -> engine.Key:
    owner_id = ids.show(COUPON, coupon.id)
    return engine.key(coupon.asset_code, account_pb2.OWNER_TYPE_CARD, owner_id)


def _filled(series: Series, coupon_id: UUID) -> batch_pb2.Operation:
    return batch_pb2.Operation(
        transfer=batch_pb2.Transfer(
            asset_code=series.asset_code,
            debit=moving.world(moving.ISSUANCE),
            credit=moving.card(ids.show(COUPON, coupon_id)),
            amount=series.uses,
            reason=account_pb2.TRANSFER_REASON_FUND,
            campaign_id=series.campaign_id,
        )
    )


def _taken_back(asset_code: str, campaign_id: str, coupon_id: UUID) -> batch_pb2.Operation:
    return batch_pb2.Operation(
        transfer=batch_pb2.Transfer(
            asset_code=asset_code,
            debit=moving.card(ids.show(COUPON, coupon_id)),
            credit=moving.world(_REVOKED),
            amount=_EVERYTHING,
            reason=account_pb2.TRANSFER_REASON_ADJUST,
            campaign_id=campaign_id,
            up_to=True,
        )
    )


def _show(series: Series) -> pb.CouponSeries:
    is_revoked = series.revoked_at is not None
    return pb.CouponSeries(
        series_id=ids.show(_SERIES, series.id),
        campaign_id=series.campaign_id,
        asset_code=series.asset_code,
        code_count=series.code_count,
        uses=series.uses,
        shared=series.shared_coupon_id is not None,
        state=pb.COUPON_SERIES_STATE_REVOKED if is_revoked else pb.COUPON_SERIES_STATE_ACTIVE,
        issued_count=series.issued_count,
        revoked_count=series.revoked_count,
        create_time=timestamps.show(series.created_at),
    )


def _show_coupon(coupon: Coupon, available: int) -> pb.Coupon:
    return pb.Coupon(
        coupon_id=ids.show(COUPON, coupon.id),
        series_id=ids.show(_SERIES, coupon.series_id),
        campaign_id=coupon.campaign_id,
        asset_code=coupon.asset_code,
        available=available,
    )
