"""What an agent reads of a receipt."""

import io

import pytest
from rich.console import Console
from tessera.ledger.v1 import adjustment_service_pb2
from tessera.promotions.v1 import checkout_pb2, receipt_service_pb2
from tessera.type.v1 import text_pb2

from tools.receipts import wording

GONE = checkout_pb2.CampaignOutcome(
    campaign_id="cmp_2",
    title=text_pb2.LocalizedText(en="Big basket"),
    reason=checkout_pb2.OUTCOME_REASON_CONDITION_NOT_MET,
    near_miss=checkout_pb2.NearMiss(amount_minor=150),
)
RECEIPT = checkout_pb2.Receipt(
    receipt_id="rcp_1",
    receipt_key=checkout_pb2.ReceiptKey(
        store_id="s1", till_id="2", shift_id="3", receipt_number="4"
    ),
    state=checkout_pb2.RECEIPT_STATE_COMMITTED,
    cart=checkout_pb2.Cart(
        lines=[
            checkout_pb2.CartLine(
                line_id="1", sku="milk", quantity_thousandths=1500, unit_price_minor=200
            )
        ]
    ),
    evaluation=checkout_pb2.Evaluation(
        member_id="mem_1",
        total_minor=270,
        discount_minor=30,
        points_earned=5,
        lines=[
            checkout_pb2.LineEvaluation(
                line_id="1",
                amount_minor=300,
                discount_minor=30,
                total_minor=270,
                parts=[
                    checkout_pb2.LinePart(campaign_id="cmp_1", discount_minor=30, points=5),
                ],
            )
        ],
        outcomes=[
            checkout_pb2.CampaignOutcome(
                campaign_id="cmp_1",
                title=text_pb2.LocalizedText(en="Ten percent"),
                reason=checkout_pb2.OUTCOME_REASON_APPLIED,
            ),
            GONE,
        ],
    ),
)


def test_a_receipt_explains_itself():
    """Each line with who gave what, and each campaign that gave nothing with its reason."""
    text = "\n".join(wording.explain(RECEIPT))
    assert "store s1, till 2, shift 3, number 4" in text
    assert "1.5 x milk at 2.00 = 3.00, to pay 2.70" in text
    assert "0.30 off, 5 points: Ten percent" in text
    assert "not Big basket: condition not met (1.50 more)" in text


@pytest.mark.parametrize(
    ("currency_code", "amounts"),
    [("JPY", "at 200 = 300, to pay 270"), ("KWD", "at 0.200 = 0.300, to pay 0.270")],
)
def test_amounts_have_the_decimals_of_their_currency(currency_code, amounts):
    """In the receipt, in lists and in reruns."""
    receipt = checkout_pb2.Receipt()
    receipt.CopyFrom(RECEIPT)
    receipt.cart.currency_code, total = currency_code, amounts.rpartition(" ")[2]
    assert amounts in "\n".join(wording.explain(receipt))
    listed = receipt_service_pb2.ReceiptSummary(total_minor=270, currency_code=currency_code)
    _, row = wording.tabbed([listed])
    assert row.split("\t")[4] == total
    again = receipt_service_pb2.RerunReceiptResponse(currency_code=currency_code)
    again.differences.add(field="total_minor", recorded_minor=270)
    assert f"{total} -> 0" in "\n".join(wording.compare(again))


def test_names_that_look_like_markup_are_printed_as_they_are():
    """Whoever names goods decides nothing about the agent's screen."""
    receipt = checkout_pb2.Receipt()
    receipt.CopyFrom(RECEIPT)
    receipt.cart.lines[0].sku = "[/red]milk"
    screen = Console(width=200, record=True, file=io.StringIO())
    wording.put(screen, wording.explain(receipt))
    assert "1.5 x [/red]milk at 2.00" in screen.export_text()


def test_a_receipt_says_how_it_was_paid_and_what_went_wrong():
    """Gift cards, conflicts of a till without a line, a void, and what made it good."""
    receipt = checkout_pb2.Receipt()
    receipt.CopyFrom(RECEIPT)
    receipt.state = checkout_pb2.RECEIPT_STATE_VOIDED
    receipt.points_not_recovered = 3
    receipt.settled_later = True
    receipt.gift_card_payments.add(card_id="gcd_1", amount_minor=150)
    receipt.gift_cards_not_refunded_minor = 150
    receipt.conflicts.add(
        kind=checkout_pb2.CONFLICT_KIND_BUDGET_SHORT,
        campaign_id="cmp_1",
        till_amount=30,
        centre_amount=10,
        beyond_bounds=True,
    )
    receipt.compensations.add(
        points=5,
        client_id="olga",
        cause="sorry",
        state=adjustment_service_pb2.ADJUSTMENT_STATE_REFUSED,
        refusal_reason="ACCOUNT_CLOSED",
    )
    text = list(wording.explain(receipt))
    assert "  gift card gcd_1 paid 1.50" in text
    assert "  not settled yet: points and coupons are on their way" in text
    assert "  voided: 3 points already spent, 0 owed, 1.50 never paid by gift cards" in text
    assert "  conflict, budget short of cmp_1: till 30, platform 10, beyond the bounds" in text
    assert "  5 points by olga, refused (ACCOUNT_CLOSED): sorry" in text


def test_a_receipt_says_what_came_with_it():
    """Coupons without their codes, and each chance with what became of it."""
    receipt = checkout_pb2.Receipt()
    receipt.CopyFrom(RECEIPT)
    got, mug = receipt.evaluation, text_pb2.LocalizedText(en="A mug")
    got.coupon_grants.add(campaign_id="cmp_1", uses=2, bearer=True)
    got.coupon_grants.add(campaign_id="cmp_9", uses=1)
    for number, state, place in (
        (1, checkout_pb2.INSTANT_DRAW_STATE_NOTHING, -1),
        (2, checkout_pb2.INSTANT_DRAW_STATE_WON, 0),
        (3, checkout_pb2.INSTANT_DRAW_STATE_GONE, 0),
    ):
        got.instant_draws.add(
            campaign_id="cmp_1",
            number=number,
            state=state,
            prize_index=place,
            title=mug if place >= 0 else None,
        )
    text = list(wording.explain(receipt))
    assert "  coupon for later, printed, uses 2: Ten percent" in text
    assert "  coupon for later, on the account, uses 1: cmp_9" in text
    assert [line for line in text if "chance" in line] == [
        "  chance 1, nothing: Ten percent",
        "  chance 2, won A mug: Ten percent",
        "  chance 3, gone A mug: Ten percent",
    ]


def test_a_rerun_tells_before_and_after():
    """Amounts and campaigns; nothing when nothing differs."""
    answer = receipt_service_pb2.RerunReceiptResponse(
        differences=[
            receipt_service_pb2.RerunDifference(
                field="total_minor", recorded_minor=270, rerun_minor=300
            ),
            receipt_service_pb2.RerunDifference(
                campaign_id="cmp_1",
                title=text_pb2.LocalizedText(en="Ten percent"),
                recorded_reason=checkout_pb2.OUTCOME_REASON_APPLIED,
                recorded_minor=30,
                recorded_points=5,
            ),
        ]
    )
    text = "\n".join(wording.compare(answer))
    assert "total_minor: 2.70 -> 3.00" in text
    assert "Ten percent: applied -> not looked at, 0.30 -> 0.00 off, 5 -> 0 points" in text
    nothing = receipt_service_pb2.RerunReceiptResponse()
    assert "nothing differs" in "\n".join(wording.compare(nothing))


def test_a_list_keeps_whole_ids_in_a_pipe_and_on_a_narrow_screen():
    """What is found can be shown: nothing is cut to fit."""
    receipt_id, member_id = f"rcp_{'8' * 32}", f"mem_{'6' * 32}"
    found = receipt_service_pb2.ReceiptSummary(
        receipt_id=receipt_id,
        receipt_key=RECEIPT.receipt_key,
        total_minor=1_234_507,
        member_id=member_id,
        state=checkout_pb2.RECEIPT_STATE_COMMITTED,
    )
    names, row = (line.split("\t") for line in wording.tabbed([found]))
    assert (row[names.index("receipt")], row[names.index("member")]) == (receipt_id, member_id)
    assert row[names.index("total")] == "12345.07"
    screen = Console(width=80, record=True, file=io.StringIO())
    screen.print(wording.table([found]))
    shown = screen.export_text()
    assert (shown.count("8"), shown.count("6")) == (32, 32)
    assert "…" not in shown
