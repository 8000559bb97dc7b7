"""Every mistake is found, at its line and column, and said in the words of the file."""

import textwrap
from datetime import UTC, datetime

import pytest
import yaml
from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.promotions import text
from services.promotions.text import references, wording

FRAME = "currency: USD\ncampaigns: {}\n"
NOON = "2026-03-02T12:00:00Z"
SOUND = """
currency: USD
campaigns:
  bread:
    title: Bread
    trigger: automatic
    rewards: [{percent_off: 10%, target: {skus: [1001]}}]
    combination: item
"""


def problems_of(written):
    return [str(problem) for problem in text.read(textwrap.dedent(written)).problems]


def in_campaign(line):
    """Return a file whose line 9 belongs to the campaign."""
    return SOUND + f"    {line}\n"


def test_a_sound_file_says_what_the_contract_says():
    """Units go, numbers of goods stay texts."""
    document = text.read(SOUND)
    assert document.problems == []
    rules = document.campaigns["bread"]
    assert rules.title.en == "Bread"
    assert rules.rewards[0].percent_off.basis_points == 1000
    assert rules.rewards[0].target.skus == ["1001"]
    assert rules.combination.lane == campaign_pb2.LANE_ITEM
    assert (document.currency, document.lines) == ("USD", {"bread": 5})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("limit: {}", "9:5: bread: limit is not known; perhaps limits"),
        (
            "limits: {budget: 5}",
            "9:22: bread: limits.budget: must be an amount like 12.50 USD, not 5",
        ),
        ("limits: {budget: 5.005 USD}", "9:22: bread: limits.budget: must be an amount like"),
        ("limits: {budget: 5.00 RUB}", "9:22: bread: limits.budget: must be in USD"),
        (
            "limits: {uses_max: 1.5}",
            "9:24: bread: limits.uses_max: must be a whole number, not 1.5",
        ),
        (
            "limits: {uses_max: -1}",
            "9:24: bread: limits.uses_max: must be greater than or equal to 0",
        ),
        ("limits: 5", "9:13: bread: limits: must be a mapping of uses_max, "),
        ("limits:", "9:12: bread: limits: is empty"),
        ("validity: {weekdays: [mon]}", "9:27: bread: validity.weekdays[0]: mon is not known"),
        ("validity: {hours: 18-20}", "9:23: bread: validity.hours[0]: must be a part of the day"),
        (
            "validity: {period: {start_time: 2026-03-01}}",
            "9:37: bread: validity.period.start_time: must be a time with its zone",
        ),
        (
            "validity: {period: {start_time: 2026-03-01T00:00:00}}",
            "9:37: bread: validity.period.start_time: must be a time with its zone",
        ),
        (
            f"validity: {{period: {{start_time: {NOON}, end_time: {NOON}}}}}",
            "9:24: bread: validity.period: end_time must be after start_time",
        ),
        (
            "condition: {not: {expression: 'totl > 1'}}",
            "9:35: bread: condition.not.expression.cel: line 1, column 1: undeclared reference",
        ),
        (
            "condition: {basket_total: {amount_min: 1.00 USD}, distinct_items: {count_min: 2}}",
            "9:55: bread: condition.distinct_items: cannot stand beside basket_total",
        ),
        ("condition: {}", "9:16: bread: condition: exactly one field is required"),
        ("trigger: automatic", "9:5: bread: trigger: is there twice"),
        ("title: 5", "9:5: bread: title: is there twice"),
        ("audience: {membership: true}", "9:28: bread: audience.membership: true is not known"),
        (
            "parameters: [{name: a, field: 'rewards[0].percent_off.percent', number: {min: 5}}]",
            "9:83: bread: parameters[0].number.min: must be a percentage like 12.5%, not 5",
        ),
        (
            "parameters: [{name: a, field: 'rewards[0].fixed_price.unit_price', number: {}}]",
            "9:35: bread: parameters[0].field: the rules have no rewards[0].fixed_price",
        ),
    ],
)
def test_each_mistake_is_shown_where_it_is(line, problem):
    """Unknown words, wrong units, wrong forms, bounds of the contract, and rules of the engine."""
    found = problems_of(in_campaign(line))
    assert len(found) == 1, found
    assert found[0].startswith(problem), found[0]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "1:1: must be a mapping of currency, campaigns"),
        ("- a", "1:1: must be a mapping of currency, campaigns"),
        ("currency: dollars\ncampaigns: {}", "1:11: currency: must be a code like USD"),
        ("campaigns: {}", "1:1: currency is missing"),
        ("currency: USD", "1:1: campaigns is missing"),
        ("currency: USD\ncampaigns: []", "2:12: campaigns: must be a mapping of names"),
        ("currency: USD\ncampaigns: {A b: {}}", "2:18: campaigns.A b: names are up to 64 small"),
        ("currency: USD\ncampaigns: {a: 5}", "2:16: a: must be a mapping of title"),
        ("currency: USD\ncampaigns: {}\ntests: []", "3:1: tests is not known"),
        ("currency: USD\ncampaigns: {\n", "3:1: expected the node content"),
        ("currency: USD\ncampaigns: {}\ntrials: {}", "3:9: trials: must be a list"),
        (
            FRAME + "trials: [{name: a, cart: [milk], expect: {}}]",
            "3:27: trials[0].cart[0]: must be a line like `2 milk at 1.50 USD`, not milk",
        ),
        (
            FRAME + "trials: [{name: a, cart: [-1 a at 1.00 USD], expect: {}}]",
            "3:27: trials[0].cart[0]: must be a line like `2 milk at 1.50 USD`",
        ),
        (
            FRAME + "trials: [{name: a, cart: [0.000 a at 1.00 USD], expect: {}}]",
            "3:27: trials[0].cart[0]: must be more than nothing, not 0.000 a at 1.00 USD",
        ),
        (
            FRAME
            + "trials: [{name: a, cart: [1 a at 1.00 USD], expect: {}, returns: [{back: {1: 0}}]}]",
            "3:78: trials[0].returns[0].back.1: must be more than nothing, not 0",
        ),
        (
            FRAME + "trials: [{name: a, cart: [1 a at 1.00 USD], expect: {pay: 5}}]",
            "3:59: trials[0].expect.pay: must be an amount like 12.50 USD, not 5",
        ),
        (
            FRAME + "trials: [{name: a, cart: [1 a at 1.00 USD], channel: til, expect: {}}]",
            "3:54: trials[0].channel: til is not known; perhaps till",
        ),
        (
            FRAME + "trials: [{name: a, cart: [1 a at 1.00 USD], pays_with: gold, expect: {}}]",
            "3:56: trials[0].pays_with",
        ),
        (
            FRAME + "trials: [{name: a, cart: [1 a at 1.00 USD], pays_with: [gold], expect: {}}]",
            "3:57: trials[0].pays_with[0]: must be one of cash, ",
        ),
        (
            FRAME
            + "trials: [{name: a, cart: [1 a at 1.00 USD], expect: {why_not: {a: not_stated}}}]",
            "3:67: trials[0].expect.why_not.a: not_stated is not known; perhaps not_started",
        ),
        ("currency: USD\ncampaigns: " + "[" * 5_000, "1:1: is nested too deeply to be read"),
        (
            FRAME + "trials: [{name: a, cart: [1 a at 1.00 USD], expect: {b: 1}}]",
            "3:57: trials[0].expect.b: is not known",
        ),
        (
            FRAME
            + "trials: [{name: a, cart: [1 a at 1.00 USD], expect: {},"
            + " member: {dates: {birth: 1990-99-99}}}]",
            "3:81: trials[0].member.dates.birth: must be a day like 2026-03-01, not 1990-99-99",
        ),
        (
            FRAME + "trials: [{name: a, cart: [1 a at 1.00 USD], now: soon, expect: {}}]",
            "3:50: trials[0].now: must be a time like 2026-03-07T09:00:00, not soon",
        ),
        ("currency: USD\ncampaigns: {a: *b}", "2:16: found undefined alias 'b'"),
    ],
)
def test_files_that_are_none_say_why(written, problem):
    """The frame of a file is checked like its campaigns."""
    found = problems_of(written)
    assert found[0].startswith(problem), found


COUPONS = """
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
    audience: members
    rewards: [{issue_coupon: {campaign_id: next-time}}]
    combination: earn
"""


def test_campaigns_name_each_other_by_name():
    """The contract wants an id, which is another one in each installation: a stand-in till then."""
    document = text.read(COUPONS)
    assert document.problems == []
    stand_in = document.campaigns["come-back"].rewards[0].issue_coupon.campaign_id
    assert document.references == {stand_in: "next-time"}
    real = "cmp_" + "5" * 32
    rules = references.replace(document.campaigns["come-back"], {stand_in: real})
    assert references.find(rules) == {real}
    written = text.dump({"come-back": rules}, currency="USD", names={real: "next-time"})
    assert "campaign_id: next-time" in written
    assert text.read(written).campaigns["come-back"] == document.campaigns["come-back"]


@pytest.mark.parametrize(
    ("measure", "begin", "number"),
    [("amount", "100.00 USD", 10_000), ("units", "3", 3)],
)
def test_steps_begin_at_money_or_at_a_number(measure, begin, number):
    """What a scale measures says which, wherever in the mapping it stands."""
    step = f"{{begin: {begin}, rewards: [{{percent_off: 5%}}]}}"
    line = f"scale: {{steps: [{step}], measure: {measure}}}"
    written = in_campaign(line).replace("rewards: [{percent_off: 10%, target: {skus: [1001]}}]", "")
    document = text.read(written)
    assert document.problems == []
    assert document.campaigns["bread"].scale.steps[0].begin == number
    again = text.read(text.dump(document.campaigns, currency="USD"))
    assert again.campaigns == document.campaigns


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file():
    """Nobody has to repair a file one message at a time."""
    found = problems_of(
        """
        currency: USD
        campaigns:
          one:
            titel: One
            combination: itm
          two:
            limits: {budget: 5}
        """
    )
    assert [line.partition(":")[0] for line in found] == ["5", "6", "8"]


def test_two_campaigns_cannot_have_one_name():
    """YAML itself would let the last one win in silence."""
    doubled = SOUND + SOUND.partition("campaigns:\n")[2]
    assert problems_of(doubled) == ["9:3: campaigns: bread is there twice"]


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "1_000", "0o17", "1e3", "2026-03-01"])
def test_words_stay_words(word):
    """What YAML 1.1 takes for something else is a text here."""
    document = text.read(SOUND.replace("1001", word))
    assert document.problems == []
    assert document.campaigns["bread"].rewards[0].target.skus == [word]


def test_a_dump_is_plain_yaml():
    """Any YAML library reads it."""
    document = text.read(SOUND)
    plain = yaml.safe_load(text.dump(document.campaigns, currency="USD"))
    assert plain["campaigns"]["bread"]["rewards"][0]["percent_off"] == "10%"


def test_bounds_are_told_in_the_units_of_the_file():
    """Whoever writes percent never reads of basis points, nor of minor units who writes money."""
    (problem,) = problems_of(SOUND.replace("10%", "110%"))
    assert "rewards[0].percent_off.percent" in problem
    assert problem.endswith("greater than or equal to 0.01% and less than or equal to 100%")
    (problem,) = problems_of(in_campaign("limits: {budget: -5.00 USD}"))
    assert "greater than or equal to 0.00 USD" in problem


@pytest.mark.parametrize(
    ("currency", "amount", "minor", "wrong"),
    [
        ("USD", "5 USD", 500, "5.005 USD"),
        ("JPY", "500 JPY", 500, "5.00 JPY"),
        ("KWD", "0.500 KWD", 500, "0.5005 KWD"),
    ],
)
def test_money_has_as_many_decimals_as_its_currency(currency, amount, minor, wrong):
    """There are no hundredths of a yen, and 5.00 JPY is not five hundred."""
    written = SOUND.replace("currency: USD", f"currency: {currency}")
    document = text.read(written + f"    limits: {{budget: {amount}}}\n")
    assert document.problems == []
    assert document.campaigns["bread"].limits.budget_minor == minor
    again = text.read(text.dump(document.campaigns, currency=currency))
    assert again.campaigns == document.campaigns
    (problem,) = problems_of(written + f"    limits: {{budget: {wrong}}}\n")
    assert "limits.budget: must be an amount like 1" in problem
    assert problem.endswith(f"not {wrong}")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "validity: {hours: '25:00-26:00'}",
            "validity.hours[0]: must be a part of the day like 18:00-20:00, not 25:00-26:00",
        ),
        (
            "validity: {hours: '10:75-12:00'}",
            "must be a part of the day like 18:00-20:00, not 10:75-12:00",
        ),
        ("multi_buy: {groups: [{units: 3}]}", "multi_buy: belongs into lane multi_buy"),
        (
            "condition: {every_line: {amount_min: 30.00 USD, amount_max: 20.00 USD}}",
            "condition.every_line.amount_max: must not be below amount_min",
        ),
        (
            "condition: {member_date: {name: Birth, days_from: 0, days_to: 0}}",
            "must be up to 64 small Latin letters, digits and _, a letter first",
        ),
        ("audience: {membership: friends}", "known are everybody, members"),
    ],
)
def test_problems_are_told_in_words_of_files(line, problem):
    """Nobody who writes files has to know names, patterns and units of the contract."""
    (found,) = problems_of(in_campaign(line))
    assert found.endswith(problem)


def test_every_pattern_of_the_contract_has_words():
    """A new one does not reach marketers as a regular expression."""
    shown = {one: wording.tell_pattern(one) for one in wording.find_patterns()}
    assert [one for one, words in shown.items() if one in words] == []


CLUB = """
currency: USD
programs:
  club:
    title: Club
    tiers:
      tiers:
        - {tier_id: base, title: Base}
        - {tier_id: gold, title: Gold, from_amount: 1000.00 USD}
      rolling: 90
      measure: spend
"""


def test_programs_are_read_like_campaigns():
    """Briefly, with what they count in money when that is what is counted."""
    document = text.read(CLUB)
    assert document.problems == []
    tiers = document.programs["club"].tiers
    assert tiers.measure.kind == program_pb2.MEASURE_KIND_SPEND
    assert (tiers.rolling.days, tiers.tiers[1].from_amount) == (90, 100_000)
    again = text.read(text.dump({}, programs=document.programs, currency="USD"))
    assert (again.problems, again.programs) == ([], document.programs)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("spend", "visits", "tiers.tiers[1].from_amount: must be a whole number, not 1000.00 USD"),
        ("rolling: 90", "rolling: 9000", "tiers.rolling.days: must be greater than or equal to 1"),
        ("1000.00 USD", "0 USD", "tiers.tiers[1].from_amount: must"),
        ("rolling: 90", "calendar: week", "week is not known; known are month, quarter, year"),
        ("    title: Club\n", "", "title: is missing"),
        ("programs:", "program:", "program is not known; perhaps programs"),
    ],
)
def test_mistakes_in_programs_are_shown_where_they_are(old, new, problem):
    """The contract's bounds and the engine's rules, as with campaigns."""
    assert old in CLUB
    assert problem in " ".join(problems_of(CLUB.replace(old, new)))


def test_days_of_programs_may_have_passed():
    """What is in git stays sound, and a day that is none is told."""
    challenge = "challenge: {measure: visits, goal: 3, last_date: 2020-02-28, reward: {points: 5}}"
    written = f"currency: USD\nprograms: {{a: {{title: A, {challenge}}}}}\n"
    assert problems_of(written) == []
    (problem,) = problems_of(written.replace("02-28", "02-30"))
    assert problem.endswith("must be a day like 2026-03-01, not 2020-02-30")


def test_what_hardly_anybody_means_is_a_warning():
    """With its place, when the moment is told; the campaign is sound all the same."""
    written = SOUND.replace("10%", "100%")
    now = datetime(2026, 3, 1, tzinfo=UTC)
    document = text.read(written, now=now)
    assert (document.problems, list(document.campaigns)) == ([], ["bread"])
    (warning,) = document.warnings
    assert str(warning).startswith("7:29: bread: rewards[0].percent_off: gives any amount of goods")
    assert text.read(written).warnings == []
