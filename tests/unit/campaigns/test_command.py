"""`python -m tools campaigns`, as far as it needs no installation."""

import json
import re
from pathlib import Path

import pytest
from google.type import date_pb2
from tessera.promotions.v1 import campaign_pb2, program_pb2
from typer.testing import CliRunner

from services.promotions import text
from services.promotions.text import references
from tools.campaigns import command, comparing
from tools.campaigns.comparing import Difference, Kind

runner = CliRunner()
TEMPLATES = sorted(command.TEMPLATES.glob("*.yaml"))
SOUND = """\
currency: USD
campaigns:
  bread:
    title: Bread
    trigger: {coupon: BREAD}
    rewards: [{percent_off: 10%}]
    combination: coupon
trials:
  - name: Ten percent
    coupons: [bread]
    cart: [1 bread at 1.00 USD]
    expect: {pay: 0.90 USD}
"""


def run(*arguments):
    return runner.invoke(command.app, [str(one) for one in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bread.yaml"
    path.write_text(SOUND)
    return path


def test_sound_files_are_counted(file):
    """A folder stands for the files below it."""
    (file.parent / "inner").mkdir()
    other = SOUND.replace("bread:", "buns:").replace("BREAD", "BUNS").partition("trials:")[0]
    (file.parent / "inner" / "buns.yaml").write_text(other)
    done = run("validate", file.parent)
    assert (done.exit_code, done.output) == (0, "2 campaigns in 2 files are sound\n")


def test_problems_are_printed_with_their_place(file):
    """The line begins as compilers begin theirs, so that editors can jump."""
    file.write_text(SOUND.replace("10%", "10"))
    done = run("validate", file)
    assert done.exit_code == 1
    assert done.output == (
        f"{file}:6:29: bread: rewards[0].percent_off.percent: must be a percentage like 12.5%,"
        " not 10\n"
    )


def test_files_are_held_against_each_other(file):
    """One name, one code and one currency in all files together."""
    other = file.with_name("other.yaml")
    other.write_text(
        SOUND.replace("currency: USD", "currency: EUR").replace("1.00 USD", "1.00 EUR")
    )
    third = file.with_name("third.yaml")
    third.write_text(SOUND.replace("  bread:", "  third:").replace("BREAD", "Bread"))
    done = run("validate", file.parent)
    assert done.exit_code == 1
    assert f"{other}:4:1: bread is in {file}, too" in done.output
    assert "files of one program have one currency: USD in" in done.output
    assert f"{third}:4:1: third: the code Bread belongs to bread" in done.output


def test_trials_that_turn_out_as_expected_are_counted(file):
    """Quiet when all is well."""
    done = run("test", file)
    assert (done.exit_code, done.output) == (0, "1 of 1 trials turned out as expected\n")


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ("{pay: 0.80 USD}", "pay is 0.90 USD, not 0.80 USD"),
        ("{lines: {1: 1.00 USD}}", "line 1 comes to 0.90 USD, not 1.00 USD"),
        ("{lines: {2: 1.00 USD}}", "line 2 comes to nothing, not 1.00 USD"),
        ("{discounts: {}}", "discount of bread is 0.10 USD, and not expected at all"),
        ("{discounts: {bread: 0.20 USD}}", "discount of bread is 0.10 USD, not 0.20 USD"),
        ("{points: {bread: 5}}", "points of bread is missing (applied (code bread)), not 5"),
        ("{why_not: {bread: expired}}", "bread is applied (code bread), not expired"),
        ("{near: {bread: {units: 1}}}", "to bread is missing nothing, not units 1.0"),
        ("{discounts: {buns: 0.20 USD}}", "the trial makes no sense: buns is not known; known are"),
    ],
)
def test_what_turns_out_otherwise_is_said(file, expected, told):
    """With the line of the trial, its name, and what came instead."""
    file.write_text(SOUND.replace("{pay: 0.90 USD}", expected))
    done = run("test", file)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == f"{file}:9: Ten percent"
    assert lines[1].strip().startswith(told)
    assert lines[-1] == "0 of 1 trials turned out as expected"


LIMITED = """\
currency: USD
campaigns:
  few:
    title: Few
    trigger: automatic
    rewards: [{percent_off: 50%}]
    combination: item
    limits: {units_max: 3, units_per_article_max: 2, units_per_member_max: 4}
  budget:
    title: Budget
    trigger: automatic
    rewards: [{percent_off: 50%}]
    combination: receipt
    limits: {budget: 1.50 USD}
  plus:
    title: Plus
    trigger: automatic
    audience: {plan_ids: [plus]}
    rewards: [{percent_off: 10%}]
    combination: item
  packing:
    title: Packing
    trigger: automatic
    rewards: [{percent_off: 50%, target: {kinds: fee}}]
    combination: item
  gift:
    title: Gift
    trigger: automatic
    rewards: [{gift_items: {items: [{sku: cup, units: 1}, {sku: plate, units: 1}], choose: 1}}]
    combination: receipt
trials:
  - name: Trial
    cart: [5 a at 1.00 USD]
"""


@pytest.mark.parametrize(
    "trial",
    [
        # As much as a campaign begins with is left, unless the trial says otherwise.
        "{campaigns: [few], member: {}, expect: {pay: 4.00 USD}}",
        "{campaigns: [few], member: {}, left: {few: {units: 1}}, expect: {pay: 4.50 USD}}",
        (
            "{campaigns: [few], member: {}, left: {few: {units_per_article: {a: 1}}},"
            " expect: {pay: 4.50 USD}}"
        ),
        (
            "{campaigns: [few], member: {}, left: {few: {units_per_member: 0}},"
            " expect: {why_not: {few: member_limit_reached}}}"
        ),
        "{campaigns: [budget], expect: {pay: 3.50 USD}}",
        "{campaigns: [budget], left: {budget: {budget: 1 USD}}, expect: {pay: 4 USD}}",
        "{campaigns: [plus], member: {plans: [plus]}, expect: {pay: 4.50 USD}}",
        "{campaigns: [plus], member: {}, expect: {why_not: {plus: not_in_audience}}}",
        "{campaigns: [packing], cart: [1 bag at 1.00 USD for fee], expect: {pay: 0.50 USD}}",
        "{campaigns: [gift], expect: {gifts: {}}}",
        "{campaigns: [gift], chooses: {gift: [plate]}, expect: {gifts: {plate: 1}}}",
        (
            "{campaigns: [], member: {points: 500}, pay_with_points: 2.00 USD,"
            " expect: {pay: 5.00 USD, points_pay: 2.00 USD}}"
        ),
    ],
)
def test_trials_say_what_a_till_knows(file, trial):
    """Limits, plans, fees, choices of gifts and payment with points."""
    written = LIMITED.replace("currency: USD", "currency: USD\npoints: {worth: 0.01 USD}")
    lines = written.partition("trials:")[0]
    named = trial.replace("{", "{name: A, ", 1)
    if "cart" not in named:
        named = named.replace("{", "{cart: [5 a at 1.00 USD], ", 1)
    file.write_text(f"{lines}trials:\n  - {named}\n")
    done = run("test", file)
    assert done.exit_code == 0, done.output


RETURNS = """\
currency: USD
points: {worth: 0.01 USD}
campaigns:
  three-for-two:
    title: Three for two
    trigger: automatic
    multi_buy: {groups: [{filter: {skus: [a]}, units: 3}], sharing: all}
    rewards: [{percent_off: 100%, pick: {order: cheapest, count_max: 1}}]
    combination: multi_buy
  back:
    title: Back
    trigger: automatic
    rewards: [{earn_percent: 10%}]
    combination: earn
  cup:
    title: Cup
    trigger: automatic
    condition: {basket_total: {filter: {skus: [b]}, amount_min: 10.00 USD}}
    rewards: [{gift_items: {items: [{sku: cup, units: 1, value: 2.00 USD}], on_return: deduct}}]
    combination: receipt
trials:
"""


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        # Three for 6.00; the two that stay cost 6.00 by themselves.
        (
            (
                "{campaigns: [three-for-two], cart: [3 a at 3 USD],"
                " returns: [{back: {1: 1}, refund: 0 USD}]}"
            ),
            "",
        ),
        (
            (
                "{campaigns: [three-for-two], cart: [3 a at 3 USD],"
                " returns: [{back: {1: 1}, refund: 2 USD}]}"
            ),
            "return 1: refund is 0.00 USD, not 2.00 USD",
        ),
        # All of it gives all of it back, in however many steps.
        (
            (
                "{campaigns: [three-for-two], cart: [3 a at 3 USD],"
                " returns: [{back: {1: 1}}, {back: {1: 2}, refund: 6 USD}]}"
            ),
            "",
        ),
        # 4.00 of 10.00 are paid with points: of a half that comes back, too.
        (
            (
                "{campaigns: [back], member: {points: 400}, pay_with_points: 4 USD,"
                " cart: [2 b at 5 USD],"
                " returns: [{back: {1: 1}, refund: 3 USD, points_given: 200, points_taken: 30}]}"
            ),
            "",
        ),
        (
            (
                "{campaigns: [back], member: {}, cart: [2 b at 5 USD],"
                " returns: [{back: {1: 1}, points_taken: 40}]}"
            ),
            "return 1: points taken are 50, not 40",
        ),
        # A cup of 2.00 is kept, and not deserved any more.
        (
            (
                "{campaigns: [cup], cart: [2 b at 5 USD],"
                " returns: [{back: {1: 1}, refund: 3 USD, held_back: 2 USD}]}"
            ),
            "",
        ),
        (
            "{campaigns: [back], cart: [2 b at 5 USD], returns: [{back: {1: 3}}]}",
            "the trial makes no sense: return 1: ",
        ),
        (
            "{campaigns: [back], cart: [2 b at 5 USD], returns: [{back: {2: 1}}]}",
            "the trial makes no sense: return 1: ",
        ),
    ],
)
def test_trials_bring_goods_back(file, trial, told):
    """What a return gives and takes is promised to shoppers as much as the discount is."""
    file.write_text(f"{RETURNS}  - {trial.replace('{', '{name: A, expect: {}, ', 1)}\n")
    done = run("test", file)
    if told:
        assert done.exit_code == 1
        assert done.output.splitlines()[1].strip().startswith(told)
    else:
        assert done.exit_code == 0, done.output


def test_doubts_are_printed_and_stop_nothing(file):
    """With their place; on the error stream, so that a pipe stays clean."""
    file.write_text(SOUND.replace("10%", "100%"))
    done = run("validate", file)
    assert (done.exit_code, done.stdout) == (0, "1 campaigns in 1 files are sound\n")
    assert done.stderr.startswith(f"{file}:6:29: warning: bread: rewards[0].percent_off: gives any")


PROGRAMS = """\
currency: USD
programs:
  club:
    title: Club
    tiers: {measure: visits, rolling: 90, tiers: [{tier_id: base, title: Base}]}
  plus:
    title: Plus
    plan: {plan_id: plus, fee: 4.99 USD, period_months: 1}
  often:
    title: Often
    offers: {offer_id: often}
"""


def test_programs_are_counted_beside_campaigns(file):
    """A file may hold nothing else."""
    file.with_name("programs.yaml").write_text(PROGRAMS)
    done = run("validate", file.parent)
    assert done.output == "1 campaigns and 3 programs in 2 files are sound\n"


def test_names_of_programs_are_theirs_alone(file):
    """So are those of levels, plans and offers, by which campaigns call them."""
    file.write_text(PROGRAMS)
    other = file.with_name("other.yaml")
    other.write_text(PROGRAMS.replace("  plus:", "  more:"))
    done = run("validate", file, other)
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        f"{other}:4:1: club: the program club belongs to club in {file}",
        f"{other}:4:1: club: the level base belongs to club in {file}",
        f"{other}:7:1: more: the plan plus belongs to plus in {file}",
        f"{other}:10:1: often: the program often belongs to often in {file}",
        f"{other}:10:1: often: the offer often belongs to often in {file}",
    ]


def test_programs_are_compared_by_the_names_of_their_coupons():
    """What waits for its day is there; what is otherwise is shown."""
    rules = text.read(PROGRAMS).programs["club"]
    friends = program_pb2.ProgramRules(
        challenge=program_pb2.ChallengeRules(
            reward=program_pb2.ProgramReward(
                coupon=program_pb2.RewardCoupon(campaign_id=references.placeholder("next"), uses=1)
            )
        )
    )
    real = "cmp_" + "5" * 32
    there = {
        "club": program_pb2.Program(
            version=3,
            live_version=2,
            rules=rules,
            start_date=date_pb2.Date(year=2027, month=1, day=1),
        ),
        "friends": program_pb2.Program(
            version=1,
            live_version=1,
            rules=references.replace(friends, {references.placeholder("next"): real}),
        ),
    }
    campaigns = {"next": campaign_pb2.Campaign(campaign_id=real, key="next")}
    here = {"club": rules, "friends": friends, "new": rules}
    found = comparing.compare_programs(here, there, campaigns, currency="USD")
    assert [one.kind for one in found] == [Kind.SAME, Kind.SAME, Kind.NEW]
    assert [one.state for one in found] == [
        "version 3 from 2027-01-01, version 2 live",
        "version 1 live",
        "",
    ]
    friends.challenge.reward.coupon.uses = 2
    (changed,) = comparing.compare_programs({"friends": friends}, there, campaigns, currency="USD")
    assert changed.kind is Kind.CHANGED
    assert "+    coupon: {campaign_id: next, uses: 2}" in [
        line.replace("      ", "    ") for line in changed.lines
    ]


GIFTS = """\
currency: USD
campaigns:
  next-time:
    title: Next time
    trigger: {coupon: {codes: NEXT, personal: true}}
    rewards: [{amount_off: {amount: 5.00 USD, spread: across}}]
    combination: coupon
  come-back:
    title: Come back
    trigger: automatic
    rewards: [{issue_coupon: {campaign_id: next-time, uses: 2}}]
    combination: earn
  mug:
    title: A mug
    trigger: automatic
    rewards: [{gift_items: {items: [{sku: mug, units: 1, value: 4.00 USD}]}}]
    combination: receipt
trials:
  - name: What comes besides money
    member: {}
    cart: [1 tea at 60.00 USD]
    expect: EXPECTED
"""


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ("{coupons: {next-time: 2}, gifts: {mug: 1}, stamps: {}}", ""),
        ("{coupons: {}}", "coupons of next-time is 2, and not expected at all"),
        ("{coupons: {next-time: 1}}", "coupons of next-time is 2, not 1"),
        ("{gifts: {mug: 2}}", "gift of mug is 1, not 2"),
        ("{gifts: {mug: 1, cup: 1}}", "gift of cup is missing, not 1"),
        ("{stamps: {coffee: 1}}", "stamps of coffee is missing, not 1"),
    ],
)
def test_gifts_coupons_and_stamps_can_be_expected(file, expected, told):
    """Articles by number, coupons by the name of their campaign, stamps by their card."""
    file.write_text(GIFTS.replace("EXPECTED", expected))
    done = run("test", file)
    assert done.exit_code == bool(told), done.output
    assert told in done.output


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_what_is_shipped_works(path):
    """Every template has trials, and they turn out as expected."""
    done = run("test", path)
    assert done.exit_code == 0, done.output
    assert not done.output.startswith("0 of 0")


def test_templates_cover_the_usual_programs():
    """Cards first, then the mechanics that every chain has."""
    assert {path.stem for path in TEMPLATES} >= {
        "fixed-discount-card", "accumulative-card", "status-card", "partner-card",
        "three-for-two", "happy-hour", "birthday", "welcome", "win-back",
    }  # fmt: skip


def test_a_new_file_begins_with_a_template(tmp_path):
    """In the program's currency; nothing is overwritten; without a name they are listed."""
    output = tmp_path / "mine.yaml"
    done = run("new", "welcome", "--output", output, "--currency", "RUB")
    assert done.exit_code == 0, done.output
    assert run("test", output).exit_code == 0
    assert "5.00 RUB" in output.read_text()
    assert run("new", "welcome", "--output", output).exit_code == 2
    assert run("new", "nothing").exit_code == 2
    listed = run("new").output
    assert "three-for-two" in listed
    assert "of three units the cheapest is free" in listed


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_templates_work_in_any_currency(tmp_path, path, currency):
    """Amounts keep their minor units, so what trials expect stays right."""
    output = tmp_path / "mine.yaml"
    assert run("new", path.stem, "--output", output, "--currency", currency).exit_code == 0
    done = run("test", output)
    assert done.exit_code == 0, done.output


def test_the_schema_is_json():
    """What editors are given."""
    assert json.loads(run("schema").output)["title"] == "Campaigns of Tessera"


def test_files_that_cannot_be_read_are_named(tmp_path):
    """A missing file and a file of bytes are the caller's mistake."""
    assert run("validate", tmp_path / "none.yaml").exit_code == 2
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert run("validate", binary).exit_code == 2


def test_the_secret_must_be_there(file, tmp_path):
    """A command that needs an installation says what it lacks before it does anything."""
    done = run("diff", file, "--gateway", "127.0.0.1:1", "--secret-file", tmp_path / "none")
    assert done.exit_code == 2
    assert "there is no" in done.output


def test_nobody_home_is_said_in_one_line(file, tmp_path):
    """No trace of our own code."""
    (tmp_path / "secret").write_text("s" * 40)
    done = run("diff", file, "--gateway", "127.0.0.1:1", "--secret-file", tmp_path / "secret")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("list: UNAVAILABLE: ")


def test_campaigns_are_written_after_those_that_they_name():
    """An id is there once a campaign is written; circles end all the same."""
    chain = {"c": "b", "b": "a", "a": "", "x": "y", "y": "x"}
    wanted = []
    for key, named in chain.items():
        rules = campaign_pb2.CampaignRules()
        if named:
            reward = rules.rewards.add()
            reward.issue_coupon.campaign_id = references.placeholder(named)
        wanted.append(Difference(key, Kind.NEW, rules, None, ()))
    order = [one.key for one in command._in_order(wanted)]
    assert [key for key in order if key in "abc"] == ["a", "b", "c"]
    assert sorted(order) == sorted(chain)


def test_named_campaigns_are_compared_by_name():
    """The installation's ids are nobody else's business."""
    rules = campaign_pb2.CampaignRules()
    rules.rewards.add().issue_coupon.campaign_id = references.placeholder("next-time")
    real = "cmp_" + "5" * 32
    there = {
        "next-time": campaign_pb2.Campaign(campaign_id=real, key="next-time"),
        "come-back": campaign_pb2.Campaign(
            key="come-back",
            version=1,
            live_version=1,
            rules=references.replace(rules, {references.placeholder("next-time"): real}),
        ),
    }
    (found,) = comparing.compare({"come-back": rules}, there, currency="USD")
    assert (found.kind, found.lines) == (Kind.SAME, ())


@pytest.mark.parametrize(("name", "count"), [("campaigns-as-code", 2), ("instant-wins", 1)])
def test_the_guides_file_works(tmp_path, name, count):
    """What the guide shows is sound, and its trials turn out as it says."""
    guide = Path(__file__).parents[3] / "docs" / "guides" / f"{name}.md"
    shown = re.findall(r"```yaml\n(currency.*?)```", guide.read_text(), re.DOTALL)
    assert shown
    for place, one in enumerate(shown):
        (tmp_path / f"{place}.yaml").write_text(one)
    done = run("test", tmp_path)
    assert (done.exit_code, done.output) == (
        0,
        f"{count} of {count} trials turned out as expected\n",
    )
