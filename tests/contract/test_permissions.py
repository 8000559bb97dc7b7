"""Who may call what: a change of rights shows up in a review, never by accident."""

import json

from tools import permissions


def test_rights_are_those_of_the_snapshot():
    """Rights changed on purpose? `python -m tools permissions` renews snapshot and page."""
    snapshot = json.loads(permissions.SNAPSHOT.read_text(encoding="utf-8"))
    assert permissions.table() == snapshot


def test_page_of_rights_is_up_to_date():
    """What vendors read is what the gateway and the services enforce."""
    assert permissions.PAGE.read_text(encoding="utf-8") == permissions.page()
