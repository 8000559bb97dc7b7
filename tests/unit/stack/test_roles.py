"""The roles that the stack runs."""

from services import roles as distribution
from tools.stack import roles


def test_the_stack_runs_every_role_of_the_distribution():
    """A role that is added joins the stack, with ports of its own."""
    assert [role.name for role in roles.ROLES] == list(distribution.ROLES)
    ports = [port for role in roles.ROLES for port in role.default_ports().values()]
    assert len(set(ports)) == len(ports)


def test_a_role_starts_after_those_it_calls():
    """So that the stop, in reverse, ends the callers first."""
    priorities = {role.name: role.priority for role in roles.ROLES}
    for role in roles.ROLES:
        assert all(priorities[name] < role.priority for name in role.calls)
