"""A file of transfers through the real gateway, by the command that operators use."""

import asyncio
import csv
import sys

from tessera.ledger.v1 import (
    account_pb2,
    asset_pb2,
    gift_card_service_pb2,
    gift_card_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)

from services.chassis import ids

ASSET = "acceptance.bonus"
ROWS = 20_000


async def run(stack, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools", "ledger", "import", *arguments,
        "--address", stack.address("gateway"),
        "--secret-file", str(stack.vault.file("client-admin")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_file_far_beyond_the_size_of_a_request_comes_through_once(stack, admin, tmp_path):
    """Twenty thousand rows, sent twice: one is refused, the others count once."""
    stub = ledger_service_pb2_grpc.LedgerServiceStub(admin.channel)
    await admin.call(
        stub.CreateAsset,
        ledger_service_pb2.CreateAssetRequest(asset=asset_pb2.Asset(asset_code=ASSET)),
    )
    members = [ids.new("mem") for _ in range(ROWS)]
    path = tmp_path / "bonus.csv"
    padding = "c" * 64
    with path.open("w") as file:
        file.write("asset_code,debit,credit,amount,reason,campaign_id\n")
        for member in members:
            file.write(f"{ASSET},world:issuance,member:{member},100,earn,{padding}\n")
        file.write(f"{ASSET},member:{ids.new('mem')},world:redemption,1,redeem,\n")
    for _ in range(2):
        code, output = await run(stack, str(path), "--label", "spring")
        assert "20,000 posted, 1 refused" in output, output
        assert code == 1
    refused = list(csv.reader((tmp_path / "bonus.csv.refused.csv").open()))
    assert refused[1][:2] == [str(ROWS + 2), "INSUFFICIENT_FUNDS"]
    last = account_pb2.Owner(owner_type=account_pb2.OWNER_TYPE_MEMBER, owner_id=members[-1])
    key = account_pb2.AccountKey(owner=last, asset_code=ASSET)
    found = await admin.call(
        stub.GetBalances, ledger_service_pb2.GetBalancesRequest(accounts=[key])
    )
    assert found.balances[0].available == 100


async def test_installation_issues_gift_cards(admin):
    """The stack has a code key of its own, and the contract's scopes reach the client."""
    stub = ledger_service_pb2_grpc.LedgerServiceStub(admin.channel)
    asset = asset_pb2.Asset(asset_code="gift.acceptance", scale=2)
    await admin.call(stub.CreateAsset, ledger_service_pb2.CreateAssetRequest(asset=asset))
    cards = gift_card_service_pb2_grpc.GiftCardServiceStub(admin.channel)
    made = await admin.call(
        cards.IssueGiftCards,
        gift_card_service_pb2.IssueGiftCardsRequest(
            request_id=ids.new("req"), asset_code=asset.asset_code, count=1
        ),
    )
    found = await admin.call(
        cards.ResolveGiftCard,
        gift_card_service_pb2.ResolveGiftCardRequest(code=made.gift_cards[0].code),
    )
    assert found.gift_card.card_id == made.gift_cards[0].card_id
