"""The engine's words are the contract's words."""

import pytest
from tessera.promotions.v1 import campaign_pb2, checkout_pb2

from services.promotions import engine


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (engine.OutcomeReason, checkout_pb2.OutcomeReason, "OUTCOME_REASON_"),
        (engine.MessageAudience, checkout_pb2.MessageAudience, "MESSAGE_AUDIENCE_"),
        (engine.Lane, campaign_pb2.Lane, "LANE_"),
        (engine.Basis, campaign_pb2.Basis, "BASIS_"),
        (engine.Channel, campaign_pb2.Channel, "CHANNEL_"),
        (engine.Membership, campaign_pb2.Membership, "MEMBERSHIP_"),
        (engine.AmountSpread, campaign_pb2.AmountSpread, "AMOUNT_SPREAD_"),
        (engine.PickOrder, campaign_pb2.PickOrder, "PICK_ORDER_"),
        (engine.PickBy, campaign_pb2.PickBy, "PICK_BY_"),
        (engine.PickScope, campaign_pb2.PickScope, "PICK_SCOPE_"),
        (engine.Sharing, campaign_pb2.Sharing, "SHARING_"),
        (engine.Reuse, campaign_pb2.Reuse, "REUSE_"),
        (engine.PointsSpread, campaign_pb2.PointsSpread, "POINTS_SPREAD_"),
    ],
)
def test_enumerations_have_the_contracts_names_and_numbers(ours, theirs, prefix):
    """Every value but UNSPECIFIED is there, under the same name and number."""
    expected = {name.removeprefix(prefix): number for name, number in theirs.items() if number != 0}
    assert {one.name: one.value for one in ours} == expected
