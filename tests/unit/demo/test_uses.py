"""A benefit that is given once goes to the first purchase that still finds it."""

from tools.demo.recomputation.uses import Claim, settle


def test_the_first_purchase_gets_it() -> None:
    """Of two purchases of one household the earlier one; another household has its own."""
    steps = [(1, 10, "sale"), (2, 20, "sale"), (1, 11, "sale")]
    claims = [Claim(11, "welcome"), Claim(10, "welcome"), Claim(20, "welcome")]
    assert settle(steps, claims, undone=set()) == [Claim(10, "welcome"), Claim(20, "welcome")]


def test_a_purchase_undone_frees_it_again() -> None:
    """After a void the next purchase gets it; a return of a part frees nothing."""
    steps = [(1, 10, "sale"), (1, 10, "void"), (1, 11, "sale"), (1, 11, "return"), (1, 12, "sale")]
    claims = [Claim(10, "welcome"), Claim(11, "welcome"), Claim(12, "welcome")]
    assert settle(steps, claims, undone={10}) == [Claim(10, "welcome"), Claim(11, "welcome")]


def test_benefits_do_not_disturb_each_other() -> None:
    """Two different ones may come with one purchase."""
    claims = [Claim(10, "welcome"), Claim(10, "birthday")]
    assert settle([(1, 10, "sale")], claims, undone=set()) == claims
