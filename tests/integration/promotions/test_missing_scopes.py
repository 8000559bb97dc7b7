"""What operators are told when the client of promotions was not given a scope."""

import pytest
import structlog

from services.chassis import clients, ids
from services.promotions import errors
from services.promotions.peers import ledger as peer


@pytest.fixture
async def poor_ledger(promotions_settings, promotions_database, house_directory):
    """Give the ledger as a client sees it that may read and nothing else."""
    settings = promotions_settings(promotions_database)
    auth = settings.auth.model_copy(
        update={
            "client_id": "poor-promotions",
            "client_secret_file": house_directory / "poor-promotions",
        }
    )
    async with clients.channel(
        settings.ledger_address, service=peer.SERVICE, tokens=clients.Tokens(auth)
    ) as channel:
        yield peer.Ledger(channel)


async def test_a_missing_scope_is_named_and_the_ledger_is_there(poor_ledger):
    """The refusal and the log say which scope; the log once, and never that nobody answers."""
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(errors.DependencyUnavailable) as drawn:
                await poor_ledger.draw_coupon(ids.new("ser"), campaign_id=ids.new("cmp"), uses=1)
        with pytest.raises(errors.DependencyUnavailable) as found:
            await poor_ledger.find_adjustment(ids.new("adj"))
    assert drawn.value.fields == {"service": "ledger", "missing_scope": "coupons.draw"}
    assert "coupons.draw" in drawn.value.message
    assert found.value.fields["missing_scope"] == "adjustments.read"
    said = [(one["event"], one.get("scope")) for one in logs]
    assert said == [
        ("our client lacks a scope", "coupons.draw"),
        ("our client lacks a scope", "adjustments.read"),
    ]


async def test_an_open_outcome_keeps_the_name_of_the_scope():
    """Whoever has to repeat a call learns what to set right first."""
    away = errors.DependencyUnavailable(service="ledger", missing_scope="ledger.post").left_open()
    assert away.fields["outcome"] == "unknown"
    assert "ledger.post" in away.message
