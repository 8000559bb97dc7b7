"""The command, from files to a report."""

import json

import pytest
from typer.testing import CliRunner

from tests.unit.simulation import sales
from tools.__main__ import compose

HEADER = "receipt_id,occurred_time,store_id,sku,quantity_thousandths,unit_price_minor,member_id"
ROWS = [
    "a,2026-03-02T10:00:00+03:00,s1,milk,1000,1000,m1",
    "a,2026-03-02T10:00:00+03:00,s1,bread,2000,250,m1",
    "b,2026-03-03T10:00:00+03:00,s2,milk,1000,1000,",
]


@pytest.fixture
def run(tmp_path):
    def simulate(rows, *arguments, draft=None, currency="USD"):
        (tmp_path / "sales.csv").write_text("\n".join(rows))
        written = draft or sales.percent("tenth", 10)
        (tmp_path / "draft.yaml").write_text(f"currency: {currency}\ncampaigns:\n{written}")
        command = ["simulate", str(tmp_path / "draft.yaml"), "--sales", str(tmp_path / "sales.csv")]
        command += ["--processes", "1", "--out", str(tmp_path / "out"), *arguments]
        return CliRunner().invoke(compose("simulate"), command)

    return simulate


def test_a_report_has_every_table_and_a_picture(run, tmp_path):
    """Sums in JSON, tables as CSV, plots as PNG."""
    result = run([HEADER, *ROWS])
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["sums"]["receipts"] == 2
    assert document["sums"]["draft_discount_minor"] == 250
    assert [row["store_id"] for row in document["stores"]] == ["s1", "s2"]
    assert (tmp_path / "out" / "receipts.csv").read_text().count("\n") == 3
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--time-zone", "Mars/Base"], "Mars/Base: no time zone is called that"),
        (["--dataset"], "choose one of --sales and --dataset"),
        (["--since", "2026-01-01"], "--since and --until choose among stored receipts only"),
        (["--out", "/dev/null/report"], "/dev/null/report"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(run, arguments, told):
    """In a sentence, before anything is replayed."""
    refused = run([HEADER, *ROWS], *arguments)
    assert refused.exit_code == 2, refused.output
    assert told in " ".join(refused.output.replace("│", " ").split())


def test_live_campaigns_may_come_from_files_and_end_with_the_draft(run, tmp_path):
    """What is live stands beside the draft, except what it replaces or what is named."""
    live = tmp_path / "live"
    live.mkdir()
    (live / "half.yaml").write_text("currency: USD\ncampaigns:\n" + sales.percent("half", 50))
    kept = run([HEADER, *ROWS], "--live", str(live))
    assert kept.exit_code == 0, kept.output
    assert (
        json.loads((tmp_path / "out" / "report.json").read_text())["sums"]["live_discount_minor"]
        == 1250
    )
    ended = run([HEADER, *ROWS], "--live", str(live), "--without", "half")
    assert ended.exit_code == 0, ended.output
    sums = json.loads((tmp_path / "out" / "report.json").read_text())["sums"]
    assert sums["draft_discount_minor"] == 250
    unknown = run([HEADER, *ROWS], "--live", str(live), "--without", "nobody")
    assert unknown.exit_code == 2
    assert "nobody is not live" in unknown.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([HEADER.removesuffix(",member_id").replace("sku,", ""), "a,x,s1,1,1"], "no column sku"),
        ([HEADER, "a,yesterday,s1,milk,1000,1000,m1"], "row 1: occurred_time"),
        ([HEADER, ROWS[0], "b,2026-03-02T10:00:00+03:00,s1,milk,much,1,"], "row 2: quantity"),
        ([HEADER, "a,2026-03-02T10:00:00+03:00,s1,milk,0,1000,m1"], "row 1: quantities must be"),
        ([HEADER, "a,2026-03-02T10:00:00+03:00,s1,milk,1000,-1,m1"], "row 1: quantities must be"),
        ([HEADER, ROWS[0], ROWS[2].replace("b,", "a,")], "name different times"),
        ([HEADER], "There is no receipt"),
    ],
)
def test_what_cannot_be_replayed_is_named(run, rows, told, tmp_path):
    """The file, the row and the column, and nothing is written."""
    result = run(rows)
    assert result.exit_code == 2
    words = " ".join(result.output.replace("│", " ").split())
    assert told in words
    assert not (tmp_path / "out").exists()


def test_a_draft_that_makes_no_sense_is_named_with_its_line(run):
    """The problems of the text form are printed as they are."""
    result = run([HEADER, *ROWS], draft=sales.percent("tenth", 10).replace("10%", "1000%"))
    assert result.exit_code == 1
    assert "draft.yaml:" in result.output


def test_amounts_have_the_decimals_of_their_currency(run):
    """1,500 yen and a tenth of them, not 15.00 and 1.50."""
    result = run([HEADER, *ROWS], "--currency", "JPY", currency="JPY")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.replace("│", " ").split())
    assert "goods before discounts 2,500 2,500 +0 " in shown
    assert "discounts, JPY 0 250 +250 " in shown


def test_a_draft_in_another_currency_is_refused(run, tmp_path):
    """Its amounts would be taken for as many cents."""
    result = run([HEADER, *ROWS], currency="JPY")
    assert result.exit_code == 2
    told = " ".join(result.output.replace("│", " ").split())
    assert "is in JPY, and the receipts are in USD" in told
    assert not (tmp_path / "out").exists()
