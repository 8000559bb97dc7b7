"""The supervisor's configuration, read back by the supervisor's own reader."""

import shlex

import pytest
from supervisor.options import ServerOptions, UnhosedConfigParser

from tools.stack.errors import StackError
from tools.stack.layout import Layout
from tools.stack.program import Program
from tools.stack.supervision import write_configuration


def read_back(layout):
    """Return the supervisor's view of our one program."""
    parser = UnhosedConfigParser()
    parser.read(str(layout.supervisor))
    options = ServerOptions()
    options.here = str(layout.root)
    return options.processes_from_section(parser, "program:odd", "odd", None)[0]


def written(tmp_path, **fields):
    """Write the configuration of one program and return the supervisor's view of it."""
    layout = Layout(tmp_path)
    layout.create()
    program = Program(
        **{
            "name": "odd",
            "command": ("/bin/true",),
            "directory": tmp_path,
            "priority": 7,
            **fields,
        }
    )
    write_configuration(layout, [program])
    return read_back(layout)


def test_nothing_starts_before_it_is_asked_to(tmp_path):
    """The stack starts its processes in order; a process that dies comes back by itself."""
    process = written(tmp_path)
    assert process.autostart is False
    assert process.autorestart
    assert process.priority == 7


@pytest.mark.parametrize(
    "text", ["with space", "100%", "%(here)s", 'quo"te', "back\\slash", "it's"]
)
def test_odd_arguments_reach_the_process_unchanged(tmp_path, text):
    """Spaces, quotes and percent signs in a path are only characters."""
    process = written(tmp_path, command=("/bin/echo", text))
    assert shlex.split(process.command) == ["/bin/echo", text]


@pytest.mark.parametrize("text", ["with space", "100%", "%(here)s", "a,b=c"])
def test_odd_variables_reach_the_process_unchanged(tmp_path, text):
    """The environment is quoted for the supervisor's reader."""
    assert written(tmp_path, environment={"ODD": text}).environment["ODD"] == text


def test_what_the_supervisor_would_take_for_a_comment_is_refused(tmp_path):
    """Such a path would silently be cut."""
    with pytest.raises(StackError, match="move the data"):
        written(tmp_path, command=("/bin/echo", "a ;b"))
