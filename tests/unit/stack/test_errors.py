"""Errors for a person at a terminal."""

from tools.stack.errors import StackError, tail


def test_an_error_shows_the_end_of_the_log_it_names(tmp_path):
    """The sentence comes first, then the file and its last lines."""
    log = tmp_path / "ledger.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    text = str(StackError("ledger is not ready.", log=log))
    assert text.startswith("ledger is not ready.")
    assert str(log) in text
    assert "line 99" in text
    assert "line 10\n" not in text


def test_a_long_line_keeps_its_beginning_and_its_end(tmp_path):
    """The cause of a traceback stands at its end, the time at its beginning."""
    log = tmp_path / "ledger.log"
    log.write_text("begins" + "." * 5000 + "ends\n")
    shown = tail(log)
    assert len(shown) < 500
    assert "begins" in shown
    assert shown.endswith("ends")


def test_a_log_that_is_not_there_is_no_second_error(tmp_path):
    """A process may fail before it writes anything."""
    assert "cannot be read" in tail(tmp_path / "missing.log")
    (tmp_path / "empty.log").touch()
    assert "empty" in tail(tmp_path / "empty.log")
