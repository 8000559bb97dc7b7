"""Campaigns from files into an installation, through the gateway, and out again."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tessera.promotions.v1 import campaign_service_pb2, program_service_pb2

ROOT = Path(__file__).resolve().parents[2]
FILE = """\
currency: USD
campaigns:
  acc-code-tea:
    title: Tea
    trigger: automatic
    audience: {store_ids: [nowhere]}
    rewards: [{percent_off: 10%, target: {skus: [tea]}}]
    combination: item
  acc-code-cups:
    title: Cups
    trigger: {coupon: ACC-CUPS}
    audience: {store_ids: [nowhere]}
    rewards: [{amount_off: {amount: 1.50 USD, spread: each_unit}}]
    combination: coupon
    limits: {budget: 30.00 USD}
"""

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def tool(stack):
    """Run `python -m tools campaigns …` against the stack; answer (exit code, output)."""

    async def run(command, *arguments):
        done = await asyncio.to_thread(
            subprocess.run,
            [
                *(sys.executable, "-m", "tools", "campaigns", command),
                *(str(one) for one in arguments),
                *("--gateway", stack.address("gateway")),
                *("--secret-file", str(stack.layout.secrets / "client-admin")),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
        )
        return done.returncode, done.stdout + done.stderr

    return run


async def test_a_file_becomes_live_changes_and_comes_back(admin, tool, tmp_path):
    """Compare, apply, again, change, publish, export: each says what it did, and does it once."""
    file = tmp_path / "campaigns.yaml"
    file.write_text(FILE)
    code, told = await tool("diff", file)
    assert code == 1, told
    assert "+ acc-code-tea: new" in told
    code, told = await tool("apply", file, "--yes", "--comment", "first")
    assert code == 0, told
    assert "acc-code-cups: version 1 is written" in told
    code, told = await tool("apply", file, "--yes")
    assert (code, told.splitlines()[-1]) == (0, "nothing to do")
    code, told = await tool("apply", file, "--yes", "--publish")
    assert code == 0, told
    assert "2 campaigns are live in rule set" in told
    code, told = await tool("diff", file)
    assert code == 0, told
    assert "= acc-code-tea: same, version 1 live" in told

    file.write_text(FILE.replace("10%", "12.5%"))
    code, told = await tool("diff", file)
    assert code == 1, told
    assert "    -  - percent_off: 10%" in told
    assert "    +  - percent_off: 12.5%" in told
    code, told = await tool("apply", file, "--yes", "--publish", "--comment", "more")
    assert code == 0, told
    assert "acc-code-tea: version 2 is written" in told
    assert "1 campaigns are live" in told

    copy = tmp_path / "copy.yaml"
    names = ("--key", "acc-code-tea", "--key", "acc-code-cups")
    code, told = await tool("export", "--output", copy, *names)
    assert code == 0, told
    code, told = await tool("diff", copy)
    assert code == 0, told
    listed = await admin.call(
        admin.campaigns.ListCampaigns,
        campaign_service_pb2.ListCampaignsRequest(keys=["acc-code-tea"]),
    )
    (tea,) = listed.campaigns
    assert tea.rules.rewards[0].percent_off.basis_points == 1250
    history = await admin.call(
        admin.campaigns.ListCampaignChanges,
        campaign_service_pb2.ListCampaignChangesRequest(campaign_id=tea.campaign_id),
    )
    assert [one.comment for one in history.changes] == ["more", "more", "", "first"]

    await admin.call(
        admin.campaigns.EndCampaign,
        campaign_service_pb2.EndCampaignRequest(campaign_id=tea.campaign_id),
    )
    code, told = await tool("apply", file, "--yes", "--publish")
    assert code == 0, told
    assert "acc-code-tea: version 1 is written" in told


COUPONS = """\
currency: USD
campaigns:
  acc-come-back:
    title: Come back
    trigger: automatic
    audience: {membership: members, store_ids: [nowhere]}
    rewards: [{issue_coupon: {campaign_id: acc-next-time}}]
    combination: earn
  acc-next-time:
    title: Next time
    trigger: {coupon: {codes: ACC-NEXT, personal: true}}
    audience: {store_ids: [nowhere]}
    rewards: [{amount_off: {amount: 5.00 USD, spread: across}}]
    combination: coupon
"""


async def test_files_name_campaigns_by_name(admin, tool, tmp_path):
    """The named one is written first, and its id is put in; comparing puts the name back."""
    file = tmp_path / "campaigns.yaml"
    file.write_text(COUPONS)
    code, told = await tool("apply", file, "--yes", "--publish")
    assert code == 0, told
    keys = ["acc-come-back", "acc-next-time"]
    listed = await admin.call(
        admin.campaigns.ListCampaigns, campaign_service_pb2.ListCampaignsRequest(keys=keys)
    )
    made = {one.key: one for one in listed.campaigns}
    issued = made["acc-come-back"].rules.rewards[0].issue_coupon
    assert issued.campaign_id == made["acc-next-time"].campaign_id
    code, told = await tool("diff", file)
    assert code == 0, told


async def test_what_a_refusal_leaves_undone_is_told(tool, tmp_path):
    """Of what cannot go live together nothing does; mended, it goes on from the drafts."""
    file = tmp_path / "campaigns.yaml"
    file.write_text(FILE.replace("acc-code", "acc-half").replace("ACC-CUPS", "ACC-BIKE"))
    code, told = await tool("apply", file, "--yes", "--publish")
    assert code == 1, told
    *_, refused, left = told.splitlines()
    assert refused.startswith("publish: CODE_TAKEN")
    assert left == (
        "written and not live: acc-half-tea, acc-half-cups; applying again goes on from here"
    )
    file.write_text(file.read_text().replace("ACC-BIKE", "ACC-HALF"))
    code, told = await tool("apply", file, "--yes", "--publish")
    assert code == 0, told
    assert "acc-half-tea: version" not in told


PROGRAMS = """\
currency: USD
campaigns:
  acc-thanks:
    title: Thanks
    trigger: {coupon: {codes: ACC-THANKS, personal: true}}
    audience: {store_ids: [nowhere]}
    rewards: [{amount_off: {amount: 5.00 USD, spread: across}}]
    combination: coupon
programs:
  acc-plus:
    title: Plus
    plan: {plan_id: acc-plus, fee: 4.99 USD, period_months: 1}
  acc-visits:
    title: {en: Visits, ru: Визиты}
    challenge:
      measure: visits
      goal: 1000
      reward: {coupon: {campaign_id: acc-thanks, uses: 1}}
"""


async def test_programs_stand_beside_campaigns(admin, tool, tmp_path):
    """Written once what their rewards name is live; they change from a day on, and come back."""
    file = tmp_path / "programs.yaml"
    file.write_text(PROGRAMS)
    code, told = await tool("diff", file)
    assert code == 1, told
    assert "+ acc-plus: new" in told
    code, told = await tool("apply", file, "--yes")
    assert code == 0, told
    assert "programs work at once: they are written with --publish" in told
    code, told = await tool("apply", file, "--yes", "--publish", "--comment", "first")
    assert code == 0, told
    assert "acc-visits: version 1 live" in told
    code, told = await tool("apply", file, "--yes", "--publish")
    assert (code, told.splitlines()[-1]) == (0, "nothing to do")

    file.write_text(PROGRAMS.replace("4.99", "5.99"))
    code, told = await tool("diff", file)
    assert code == 1, told
    assert "~ acc-plus: changed, version 1 live" in told
    assert "fee: 5.99 USD" in told
    code, told = await tool("apply", file, "--yes", "--publish", "--comment", "dearer")
    assert code == 0, told
    assert ", version 1 live" in told.splitlines()[-1]
    code, told = await tool("diff", file)
    assert code == 0, told
    file.write_text(PROGRAMS.replace("plan_id: acc-plus", "plan_id: acc-more"))
    code, told = await tool("apply", file, "--yes", "--publish")
    assert code == 1, told
    assert "acc-plus: PROGRAM_INVALID" in told.splitlines()[-2]

    copy = tmp_path / "copy.yaml"
    names = [word for key in ("acc-thanks", "acc-plus", "acc-visits") for word in ("--key", key)]
    code, told = await tool("export", "--output", copy, *names)
    assert code == 0, told
    file.write_text(PROGRAMS.replace("4.99", "5.99"))
    code, told = await tool("diff", copy)
    assert code == 0, told
    listed = await admin.call(
        admin.programs.ListPrograms, program_service_pb2.ListProgramsRequest()
    )
    for one in listed.programs:
        if one.key.startswith("acc-"):
            await admin.call(
                admin.programs.EndProgram,
                program_service_pb2.EndProgramRequest(program_id=one.program_id),
            )


async def test_another_currency_and_refusals_are_told_in_one_line(tool, tmp_path):
    """A file of another program writes nothing."""
    file = tmp_path / "campaigns.yaml"
    file.write_text(FILE.replace("USD", "RUB").replace("acc-code", "acc-rub"))
    code, told = await tool("apply", file, "--yes")
    assert code == 1, told
    *_, refused, left = told.splitlines()
    assert "acc-rub-tea: CURRENCY_MISMATCH" in refused
    assert left.startswith("not written, and nothing was put live: acc-rub-tea, acc-rub-cups;")


async def test_nothing_is_done_without_a_yes(tool, tmp_path):
    """The plan is shown; an empty answer is a no."""
    file = tmp_path / "campaigns.yaml"
    file.write_text(FILE.replace("acc-code", "acc-no").replace("ACC-CUPS", "ACC-NO"))
    code, told = await tool("apply", file)
    assert code == 1, told
    assert "+ acc-no-tea: new" in told
    code, told = await tool("diff", file)
    assert "+ acc-no-tea: new" in told


async def test_the_life_of_a_campaign_in_json(admin, pos):
    """Each step has its path; a till has no business here."""
    rules = {
        "title": {"en": "Tea"},
        "trigger": {"automatic": {}},
        "audience": {"storeIds": ["nowhere"]},
        "rewards": [{"percentOff": {"basisPoints": 1000}}],
        "combination": {"lane": "LANE_ITEM"},
        "parameters": [
            {
                "name": "percent",
                "field": "rewards[0].percent_off.basis_points",
                "number": {"min": "500", "max": "1500"},
            }
        ],
    }
    body: dict[str, Any] = {"requestId": "acc-life-json", "key": "acc-life-json", "rules": rules}
    status, document, _ = await admin.json("POST", "/v1/campaigns", body)
    assert status == 200, document
    campaign_id = document["campaign"]["campaign_id"]
    path = f"/v1/campaigns/{campaign_id}"
    status, document, _ = await pos.json("POST", f"{path}:submit", {"version": "1"})
    assert status == 403, document
    status, document, _ = await admin.json("POST", f"{path}:submit", {"version": "1"})
    assert (status, document["campaign"]["state"]) == (200, "CAMPAIGN_STATE_IN_REVIEW")
    status, document, _ = await admin.json("POST", f"{path}:approve", {"version": "1"})
    assert (status, document["details"][0]["reason"]) == (403, "APPROVER_IS_AUTHOR")
    body = {"version": "1", "comment": "not yet"}
    status, document, _ = await admin.json("POST", f"{path}:reject", body)
    assert (status, document["campaign"]["state"]) == (200, "CAMPAIGN_STATE_DRAFT")
    status, document, _ = await admin.json(
        "POST", "/v1/campaigns:publish", {"campaignIds": [campaign_id]}
    )
    assert (status, document["campaigns"][0]["state"]) == (200, "CAMPAIGN_STATE_LIVE")
    local: dict[str, Any] = {
        "requestId": "acc-local-json",
        "templateId": campaign_id,
        "storeIds": ["nowhere"],
    }
    body = {**local, "arguments": [{"name": "percent", "number": "1600"}]}
    status, document, _ = await admin.json("POST", "/v1/localCampaigns", body)
    assert status == 400, document
    assert document["details"][0]["reason"] == "PARAMETER_OUT_OF_BOUNDS"
    assert document["details"][0]["metadata"]["bound"] == "max"
    body = {**local, "arguments": [{"name": "percent", "number": "600"}]}
    status, document, _ = await admin.json("POST", "/v1/localCampaigns", body)
    assert (status, document["campaign"]["template_id"]) == (200, campaign_id)
    status, document, _ = await admin.json("POST", f"{path}:pause", {})
    assert (status, document["campaign"]["state"]) == (200, "CAMPAIGN_STATE_PAUSED")
    status, document, _ = await admin.json("POST", f"{path}:resume", {})
    assert (status, document["campaign"]["state"]) == (200, "CAMPAIGN_STATE_LIVE")
    status, document, _ = await admin.json("GET", f"{path}/versions/1")
    assert (status, document["campaign_version"]["rules"]["title"]["en"]) == (200, "Tea")
    status, document, _ = await admin.json("GET", f"{path}/changes?page_size=2")
    assert [one["action"] for one in document["changes"]] == [
        "CAMPAIGN_ACTION_RESUMED",
        "CAMPAIGN_ACTION_PAUSED",
    ]
    status, document, _ = await admin.json("POST", f"{path}:end", {})
    assert (status, document["campaign"]["state"]) == (200, "CAMPAIGN_STATE_ENDED")
