"""Files of transfers: what is a row, what is none, and why."""

import pytest
from tessera.ledger.v1 import account_pb2

from tools.ledger import importing, transfers
from tools.ledger.transfers import FileProblem, Refused, RowProblem, Source

HEAD = "asset_code,debit,credit,amount,reason,campaign_id,up_to,lot_expire_time\n"
ROW = "points,world:issuance,member:mem_1,100,earn,cmp_1,,2027-01-01T00:00:00+03:00\n"
GOOD = {
    "asset_code": "points",
    "debit": "world:issuance",
    "credit": "member:mem_1",
    "amount": 5,
    "reason": "EARN",
}


def source(tmp_path, text, name="file.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    made = Source(path)
    made.scan()
    return made


def test_row_of_a_table_becomes_a_transfer(tmp_path):
    """Owners, reasons and times are written as people write them."""
    (transfer,) = source(tmp_path, HEAD + ROW).transfers()
    assert (transfer.asset_code, transfer.amount, transfer.campaign_id) == ("points", 100, "cmp_1")
    assert transfer.debit.owner_type == account_pb2.OWNER_TYPE_WORLD
    assert transfer.credit.owner_id == "mem_1"
    assert transfer.reason == account_pb2.TRANSFER_REASON_EARN
    assert transfer.lot_expire_time.ToJsonString() == "2026-12-31T21:00:00Z"
    assert not transfer.up_to


def test_json_lines_and_tables_say_the_same(tmp_path):
    """Whichever a system writes."""
    line = (
        '{"asset_code":"points","debit":"world:issuance","credit":"member:mem_1","amount":100,'
        '"reason":"earn","campaign_id":"cmp_1","lot_expire_time":"2027-01-01T00:00:00+03:00"}'
    )
    table = list(source(tmp_path, HEAD + ROW).transfers())
    assert list(source(tmp_path, f"{line}\n\n", "file.ndjson").transfers()) == table


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"amount": ""}, "amount is missing"),
        ({"amount": "1.5"}, "amount is '1.5', not a whole number"),
        ({"amount": -1}, "not a whole number"),
        ({"amount": True}, "not a whole number"),
        ({"debit": "shop:1"}, "debit is 'shop', none of world"),
        ({"reason": "gift"}, "reason is 'gift', none of earn"),
        ({"colour": "red"}, "colour is not a known column"),
        ({None: ["more"]}, "more cells than there are columns"),
        ({"debit": ["world:issuance"]}, "debit is neither a text nor a number"),
        ({"campaign_id": {}}, "campaign_id is neither a text nor a number"),
        ({"asset_code": "\ud800"}, "asset_code' is '.*ud800', which is no text"),
        ({"\udfff": "1"}, "which is no text"),
        ({"up_to": "maybe"}, "up_to is 'maybe'"),
        ({"lot_expire_time": "soon"}, "lot_expire_time is 'soon'"),
        ({"lot_expire_time": "2027-01-01T00:00:00"}, "lacks its time zone"),
    ],
)
def test_row_that_is_no_transfer_says_why(fields, problem):
    """One sentence a row, for whoever made the file."""
    with pytest.raises(RowProblem, match=problem):
        transfers.parse({**GOOD, **fields})


def test_a_line_without_end_is_no_row(tmp_path):
    """However deep it goes."""
    read = source(tmp_path, "[" * 100_000 + "\n", "file.ndjson")
    assert read.problems == {1: "it is not a JSON object"}


def test_bad_rows_are_kept_by_line_and_good_ones_go_on(tmp_path):
    """The rules of the contract hold before anything is sent."""
    bad = ROW.replace(",100,", ",0,")
    long = ROW.replace("mem_1", "x" * 90)
    read = source(tmp_path, HEAD + ROW + bad + "\n" + long + ROW)
    assert [transfer.credit.owner_id for transfer in read.transfers()] == ["mem_1"] * 2
    assert list(read.lines) == [2, 6]
    assert sorted(read.problems) == [3, 5]
    assert read.problems[3].startswith("amount: ")
    assert read.problems[5].startswith("credit.owner_id: ")


def test_line_that_is_no_object_is_a_bad_row(tmp_path):
    """Neither broken JSON nor a list."""
    read = source(tmp_path, '{"asset_code":\n[1]\n', "file.jsonl")
    assert list(read.transfers()) == []
    assert sorted(read.problems) == [1, 2]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("file.xls", "", "neither .csv nor"),
        ("file.csv", "asset_code,debit\n", "has no column credit"),
        ("file.csv", "", "has no column asset_code"),
    ],
)
def test_file_that_cannot_be_one_is_refused(tmp_path, name, text, problem):
    """Before a ledger hears of it."""
    with pytest.raises(FileProblem, match=problem):
        source(tmp_path, text, name)


def test_file_that_is_not_there_is_refused(tmp_path):
    """With the reason of the system."""
    with pytest.raises(FileProblem, match="No such file"):
        Source(tmp_path / "gone.csv").scan()


def test_pieces_begin_at_multiples_of_two_hundred_and_bear_every_row_once():
    """Wherever the ledger stands."""
    (transfer,) = [transfers.parse(GOOD)]
    for first in (0, 200, 16_000, 16_600):
        pieces = list(importing._pieces("upl_", first, [transfer] * 16_650))
        starts = [piece.first_row for piece in pieces]
        assert starts[0] == first
        assert all(start % 200 == 0 for start in starts)
        ends = [piece.first_row + len(piece.transfers) for piece in pieces]
        assert ends == [*starts[1:], 16_650]


def test_pieces_stay_below_the_size_of_a_message():
    """Long names make smaller pieces."""
    transfer = transfers.parse({**GOOD, "asset_code": "a" * 200, "credit": f"member:{'m' * 80}"})
    pieces = list(importing._pieces("upl_", 0, [transfer] * 20_000))
    assert max(piece.ByteSize() for piece in pieces) < 4 * 2**20
    assert sum(len(piece.transfers) for piece in pieces) == 20_000


def test_refused_rows_are_written_with_line_and_reason(tmp_path):
    """As a table that a spreadsheet opens."""
    importing.write(tmp_path / "r.csv", [Refused(3, "INSUFFICIENT_FUNDS", 'has 1, "needs" 2')])
    assert (tmp_path / "r.csv").read_text() == (
        'line,reason,message\n3,INSUFFICIENT_FUNDS,"has 1, ""needs"" 2"\n'
    )
