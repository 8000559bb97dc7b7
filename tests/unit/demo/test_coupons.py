"""The chain's coupons fit into the contract and were really used."""

from tools.demo.coupons import Coupons


def test_coupons_keep_the_contracts_bounds(planned_coupons: Coupons) -> None:
    """No more codes, articles and members than one campaign or one call may have."""
    assert any(offer.personal for offer in planned_coupons.offers)
    for offer in planned_coupons.offers:
        assert 1 <= len(offer.codes) <= 1_000
        assert 1 <= len(offer.skus) <= 10_000
        assert offer.amount_minor > 0
        assert offer.start_time < offer.end_time
        assert len(offer.codes) == 1 or not offer.personal


def test_no_two_coupons_share_a_code(planned_coupons: Coupons) -> None:
    """A code names one campaign."""
    codes = [code for offer in planned_coupons.offers for code in offer.codes]
    assert len(codes) == len(set(codes))


def test_coupons_were_redeemed(planned_coupons: Coupons) -> None:
    """Hundreds of real receipts present them, each a code once."""
    redemptions = planned_coupons.redemptions
    assert redemptions.height > 500
    assert redemptions.is_unique().all()
