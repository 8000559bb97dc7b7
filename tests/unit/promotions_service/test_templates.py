"""What stores make of templates lies within the bounds, and differs in nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.promotions.v1 import campaign_pb2 as pb
from tessera.type.v1 import text_pb2

from services.promotions import errors
from services.promotions.wire import templates

GOODS = ["bread", "milk", "tea"]


def template(low=500, high=1500, step=0, count_min=0, count_max=0):
    return pb.CampaignRules(
        title=text_pb2.LocalizedText(en="Local"),
        trigger=pb.Trigger(automatic=pb.AutomaticTrigger()),
        rewards=[
            pb.Reward(
                percent_off=pb.PercentOff(basis_points=1000), target=pb.ItemFilter(skus=["bread"])
            )
        ],
        combination=pb.Combination(lane=pb.LANE_ITEM),
        parameters=[
            pb.Parameter(
                name="percent",
                field="rewards[0].percent_off.basis_points",
                number=pb.NumberBounds(min=low, max=high, step=step),
            ),
            pb.Parameter(
                name="goods",
                field="rewards[0].target.skus",
                choice=pb.ChoiceBounds(values=GOODS, count_min=count_min, count_max=count_max),
            ),
        ],
    )


@given(
    low=st.integers(0, 50),
    span=st.integers(0, 50),
    step=st.integers(0, 7),
    value=st.integers(0, 110),
    chosen=st.lists(st.sampled_from([*GOODS, "ham"]), unique=True),
    count_max=st.integers(0, 3),
)
def test_what_is_accepted_is_within_bounds_and_nothing_else_changes(
    low, span, step, value, chosen, count_max
):
    """Accepted exactly when every bound holds; the result is the template but for what was set."""
    rules = template(low, low + span, step, count_max=count_max)
    arguments = [
        pb.Argument(name="percent", number=value),
        pb.Argument(name="goods", choice=pb.Choice(values=chosen)),
    ]
    allowed = (
        low <= value <= low + span
        and (not step or (value - low) % step == 0)
        and 1 <= len(chosen) <= (count_max or len(GOODS))
        and set(chosen) <= set(GOODS)
    )
    try:
        made = templates.instantiate(rules, store_ids=["s2", "s1"], arguments=arguments)
    except errors.ParameterOutOfBounds:
        assert not allowed
        return
    assert allowed
    assert made.rewards[0].percent_off.basis_points == value
    assert made.rewards[0].target.skus == chosen
    assert made.audience.store_ids == ["s1", "s2"]
    made.rewards[0].CopyFrom(rules.rewards[0])
    made.ClearField("audience")
    made.parameters.extend(rules.parameters)
    assert made == rules


def test_what_is_not_set_is_as_the_template_has_it():
    """A manager who sets nothing gets what the chain proposes."""
    made = templates.instantiate(template(), store_ids=["s1"], arguments=[])
    assert made.rewards[0].percent_off.basis_points == 1000
    assert not made.parameters


def test_a_parameter_is_set_once():
    """Setting it twice would let the second one win in silence."""
    twice = [pb.Argument(name="percent", number=one) for one in (600, 700)]
    with pytest.raises(errors.ParameterUnknown) as caught:
        templates.instantiate(template(), store_ids=["s1"], arguments=twice)
    assert caught.value.metadata == {"parameter": "percent"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("rewards[0].percent_off.basis_points", "number"),
        ("rewards[0].target.category_ids", "choice"),
        ("validity.period", "period"),
        ("rewards[0].percent_off", ""),
        ("combination.lane", ""),
        ("title.en", ""),
    ],
)
def test_bounds_fit_the_kind_of_a_field(path, kind):
    """Whole numbers, lists of names and the period may be parameters, and nothing else."""
    spot = templates.locate(template(), path)
    assert spot is not None
    assert templates.kind_of(spot.field) == kind


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing",
        "rewards.percent_off.basis_points",
        "rewards[1].percent_off.basis_points",
        "rewards[0].amount_off.amount_minor",
        "limits[0].uses_max",
        "title.en.more",
        "rewards[0][0].amount_max",
    ],
)
def test_paths_that_lead_nowhere_are_nowhere(path):
    """Fields that are not there, entries that lists lack, kinds that were not chosen."""
    assert templates.locate(template(), path) is None


def test_counts_of_choices_make_sense():
    """Nobody can choose more than there is, nor fewer than the fewest."""
    for bounds, field in (
        ({"count_min": 2, "count_max": 1}, "parameters[1].choice.count_max"),
        ({"count_min": 4}, "parameters[1].choice.count_min"),
    ):
        (problem,) = templates.find_problems(template(**bounds))
        assert problem.field == field
    assert templates.find_problems(template()) == []
