"""The chain's program: every campaign that goes live, of as many kinds as a chain has at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.promotions.v1 import campaign_pb2
from tessera.type.v1.interval_pb2 import Interval
from tessera.type.v1.text_pb2 import LocalizedText

from services.promotions import text
from tools.demo import dataset, households
from tools.demo.coupons import Coupon

_FILE = Path(__file__).parent / "program.yaml"
#: Campaigns of the file that do not begin with the replay, and how many days after it they do.
_DAYS_LATER = {"birthday": 344}
#: The code that the file gives to everybody.
SHARED_CODE = "THANKYOU5"


@dataclass(frozen=True)
class Offer:
    """A campaign by the demo's own name for it; a personal coupon is for those households."""

    key: str
    rules: campaign_pb2.CampaignRules
    granted_to: tuple[int, ...] = ()


def write(start_time: datetime, coupons: Iterable[Coupon]) -> list[Offer]:
    """Return every campaign.

    Those of the file begin at `start_time`, wall-clock of the stores, or so many days later.
    """
    return [_offer(key, rules, start_time) for key, rules in _read().items()] + [
        _coupon_offer(coupon, place) for place, coupon in enumerate(coupons)
    ]


def title_of(key: str) -> str:
    """Return the English title of a campaign of the file."""
    return _read()[key].title.en


def coupon_key(coupon: Coupon) -> str:
    """Return the demo's own name for a coupon of the chain."""
    if coupon.personal:
        return f"coupon-{coupon.codes[0]}"
    return households.campaign_segment(coupon.campaign_id)


def _read() -> dict[str, campaign_pb2.CampaignRules]:
    document = text.read(_FILE.read_text(encoding="utf-8"))
    assert not document.problems, document.problems
    return document.campaigns


def _offer(key: str, rules: campaign_pb2.CampaignRules, start_time: datetime) -> Offer:
    later = timedelta(days=_DAYS_LATER.get(key, 0))
    rules.validity.period.CopyFrom(Interval(start_time=_instant(start_time + later)))
    return Offer(key, rules)


def _coupon_offer(coupon: Coupon, place: int) -> Offer:
    """Return a coupon of the chain: an amount off its articles, in its weeks.

    `place` orders coupons that meet on one receipt.
    """
    segment = households.campaign_segment(coupon.campaign_id)
    rules = campaign_pb2.CampaignRules(
        title=_coupon_title(coupon),
        trigger=campaign_pb2.Trigger(
            coupon=campaign_pb2.CouponTrigger(codes=coupon.codes, personal=coupon.personal)
        ),
        validity=campaign_pb2.Validity(
            period=Interval(
                start_time=_instant(coupon.start_time), end_time=_instant(coupon.end_time)
            )
        ),
        audience=campaign_pb2.Audience(
            membership=campaign_pb2.MEMBERSHIP_MEMBERS,
            segment_ids=[] if coupon.personal else [segment],
        ),
        rewards=[
            campaign_pb2.Reward(
                amount_off=campaign_pb2.AmountOff(
                    amount_minor=coupon.amount_minor, spread=campaign_pb2.AMOUNT_SPREAD_ACROSS
                ),
                target=campaign_pb2.ItemFilter(skus=coupon.skus),
            )
        ],
        combination=campaign_pb2.Combination(lane=campaign_pb2.LANE_COUPON, priority=-place),
    )
    return Offer(coupon_key(coupon), rules, coupon.households if coupon.personal else ())


def _coupon_title(coupon: Coupon) -> LocalizedText:
    amount = f"{coupon.amount_minor / 100:.2f}"
    if coupon.personal:
        return LocalizedText(
            en=f"Coupon {coupon.codes[0]}: ${amount} off",
            ru=f"Купон {coupon.codes[0]}: минус {amount} $",
        )
    return LocalizedText(
        en=f"Mailing {coupon.campaign_id}: ${amount} off",
        ru=f"Рассылка {coupon.campaign_id}: минус {amount} $",
    )


def _instant(local: datetime) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(local.replace(tzinfo=ZoneInfo(dataset.TIME_ZONE)))
    return moment
