"""A prize that is won with the purchase, from the file of the campaign to the check, in JSON."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from tests.acceptance import chain
from tools.__main__ import compose

pytestmark = pytest.mark.usefixtures("shop")

_WON, _GONE = "INSTANT_DRAW_STATE_WON", "INSTANT_DRAW_STATE_GONE"


@pytest.fixture
async def campaign(admin):
    """Every chance wins one of two mugs that are out; it ends after the test."""
    now = datetime.now(UTC)
    prize = {"title": {"en": "A mug", "ru": "Кружка"}, "count": 2, "one_in": "1"}
    rules = {
        "title": {"en": "Win a mug", "ru": "Выиграйте кружку"},
        "trigger": {"automatic": {}},
        "audience": {"store_ids": [chain.STORE]},
        "rewards": [
            {
                "instant_win": {
                    "prizes": [prize],
                    "period": {
                        "start_time": (now - timedelta(days=2)).isoformat(),
                        "end_time": (now + timedelta(hours=1)).isoformat(),
                    },
                    "spread": "POINTS_SPREAD_ONCE",
                },
                "target": {"skus": ["acc-lemonade"]},
            }
        ],
        "combination": {"lane": "LANE_EARN"},
    }
    body = {"request_id": uuid.uuid4().hex, "rules": rules}
    status, made, _ = await admin.json("POST", "/v1/campaigns", body)
    assert status == 200, made
    campaign_id = made["campaign"]["campaign_id"]
    ids = {"campaign_ids": [campaign_id]}
    status, answer, _ = await admin.json("POST", "/v1/campaigns:publish", ids)
    assert status == 200, answer
    yield campaign_id
    await admin.json("POST", f"/v1/campaigns/{campaign_id}:end", {})


async def _sell(pos):
    """Evaluate and commit a lemonade; return both answers."""
    line = {
        "line_id": "1",
        "sku": "acc-lemonade",
        "quantity_thousandths": "1000",
        "unit_price_minor": "150",
    }
    cart = {
        "store_id": chain.STORE,
        "channel": "CHANNEL_TILL",
        "currency_code": chain.CURRENCY,
        "lines": [line],
    }
    status, offer, _ = await pos.json("POST", "/v1/checkout:evaluate", {"cart": cart})
    assert status == 200, offer
    key = {"till_id": "1", "shift_id": "1", "receipt_number": uuid.uuid4().hex}
    body = {
        "receipt_key": {"store_id": chain.STORE, **key},
        "cart": cart,
        "occurred_time": chain.moment().ToJsonString(),
        "expected_total_minor": offer["evaluation"]["total_minor"],
    }
    status, answer, _ = await pos.json("POST", "/v1/checkout:commit", body)
    assert status == 200, answer
    return offer["evaluation"], answer["receipt"]


async def test_shoppers_win_while_there_is_something_to_win(pos, admin, campaign, tmp_path):
    """The till hears of chances first and of prizes afterwards; nobody has the seed meanwhile."""
    _, sealed, _ = await admin.json("GET", f"/v1/instant-wins/{campaign}")
    assert len(sealed["instant_win"]["seal"]) == 64
    assert sealed["instant_win"]["seed"] == ""
    found = []
    for _ in range(3):
        offer, receipt = await _sell(pos)
        assert [one["count"] for one in offer["instant_chances"]] == [1]
        assert offer["instant_draws"] == []
        (draw,) = receipt["evaluation"]["instant_draws"]
        texts = [one["text"]["ru"] for one in receipt["evaluation"]["messages"]]
        assert ("Вы выиграли: Кружка" in texts) == (draw["state"] == _WON)
        found.append((receipt["receipt_id"], draw["state"]))
    assert [state for _, state in found] == [_WON, _WON, _GONE]

    back = {
        "receipt_key": {
            "store_id": chain.STORE,
            "till_id": "1",
            "shift_id": "1",
            "receipt_number": uuid.uuid4().hex,
        },
        "lines": [{"line_id": "1", "quantity_thousandths": "1000"}],
        "occurred_time": chain.moment().ToJsonString(),
    }
    _, answer, _ = await pos.json("POST", f"/v1/receipts/{found[0][0]}:return", back)
    assert [one["title"]["en"] for one in answer["returned"]["prizes_withdrawn"]] == ["A mug"]

    for receipt_id, _ in found:  # recorded moments after the till was answered, or now
        await pos.json("GET", f"/v1/receipts/{receipt_id}")
    _, listed, _ = await admin.json("GET", f"/v1/instant-wins/{campaign}/draws")
    assert {one["receipt_id"] for one in listed["receipts"]} == {one for one, _ in found}
    files = [tmp_path / "sealed.json", tmp_path / "page.json"]
    for file, document in zip(files, (sealed, listed), strict=True):
        file.write_text(json.dumps(document))
    run = CliRunner().invoke(compose("instant-win"), ["instant-win", *map(str, files)])
    assert run.exit_code == 2
    assert "the seed is told from" in run.output


async def test_a_till_may_not_read_what_is_sealed(pos, campaign):
    """Only who may read draws."""
    status, answer, _ = await pos.json("GET", f"/v1/instant-wins/{campaign}")
    assert (status, answer["details"][0]["reason"]) == (403, "PERMISSION_DENIED")
