"""Migration files: their names and numbers."""

import pytest

from services.chassis import migrations


def _write(directory, *names):
    for name in names:
        (directory / name).write_text("SELECT 1;\n")
    return directory


def test_files_are_read_in_order(tmp_path):
    """The number decides, the phase is part of the name."""
    _write(tmp_path, "0002_post_drop.sql", "0001_pre_first.sql", "notes.txt")
    found = migrations.read(tmp_path)
    assert [(item.version, item.phase) for item in found] == [(1, "pre"), (2, "post")]


@pytest.mark.parametrize("name", ["1_pre_a.sql", "0001_a.sql", "0001_pre_A.sql", "0001_mid_a.sql"])
def test_wrong_name_stops_everything(tmp_path, name):
    """A file that would be skipped silently is an accident waiting."""
    with pytest.raises(migrations.MigrationError, match="is not called like"):
        migrations.read(_write(tmp_path, name))


def test_a_number_that_is_there_twice_stops_everything(tmp_path):
    """Two branches that took the same number meet here."""
    with pytest.raises(migrations.MigrationError, match="have the same number"):
        migrations.read(_write(tmp_path, "0001_pre_a.sql", "0002_pre_b.sql", "0002_post_c.sql"))


def test_numbers_may_be_left_out(tmp_path):
    """Changes that are made at the same time take their numbers beforehand."""
    found = migrations.read(_write(tmp_path, "0001_pre_a.sql", "0004_pre_b.sql"))
    assert [item.version for item in found] == [1, 4]


def test_first_line_takes_a_file_out_of_its_transaction(tmp_path):
    """Only what PostgreSQL refuses inside of transactions runs outside."""
    (tmp_path / "0001_pre_a.sql").write_text("-- migrate: no transaction\nCREATE INDEX …;")
    (tmp_path / "0002_pre_b.sql").write_text("CREATE TABLE …;")
    assert [item.in_transaction for item in migrations.read(tmp_path)] == [False, True]
