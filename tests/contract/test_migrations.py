"""The migrations of every service follow one another without gaps and without doubles."""

from pathlib import Path

import pytest

from services import roles
from services.chassis import migrations

FOLDERS = sorted(Path(roles.__file__).parent.glob("*/migrations"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_migrations_are_numbered_in_a_row(folder):
    """Two that were written at the same time are noticed before they are applied."""
    assert migrations.read(folder)
