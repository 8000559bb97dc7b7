"""Expressions are checked before they run, and what is wrong is shown where it is."""

import pytest

from services.promotions import engine


def problems_of(cel):
    given = engine.Rules(
        title=engine.Text("A"),
        rewards=(engine.Reward(engine.PercentOff(1_000)),),
        combination=engine.Combination(engine.Lane.RECEIPT),
        condition=engine.Not(engine.Expression(cel)),
    )
    return engine.find_problems(given)


@pytest.mark.parametrize(
    ("cel", "problem"),
    [
        ("total_minor > 'a'", "line 1, column 13: found no matching overload"),
        ("true &&\n  totl > 3", "line 2, column 3: undeclared reference to 'totl'"),
        ("total_minor >", "line 1, column 14: Syntax error"),
        ("total_minor", "line 1, column 1: answers int and not yes or no"),
        ("sku_amount_minor['a'] > 1.5", "line 1, column 23: found no matching overload"),
        ("total_minor > 1 || " * 60 + "true", "line 1, column 1: has 1144 characters"),
    ],
)
def test_what_is_wrong_is_shown_where_it_is(cel, problem):
    """Syntax, names, types, the kind of answer, and the length; with line and column."""
    (found,) = problems_of(cel)
    assert found.field == "condition.not.expression.cel"
    assert found.problem.startswith(problem)


def test_a_sound_expression_has_no_problem():
    """Loops, texts and maps that the environment declares."""
    assert not problems_of("skus.exists(s, s.startsWith('82') && sku_amount_minor[s] > 500)")
