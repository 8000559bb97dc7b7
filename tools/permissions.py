"""Write down who may call what, from the contracts: a snapshot for reviews, a page for readers."""

import json
from itertools import groupby

from rich.console import Console

from services.gateway import contracts
from tools.contracts import ROOT

SNAPSHOT = ROOT / "tests" / "contract" / "permissions.json"
PAGE = ROOT / "docs" / "permissions.md"

PUBLIC = "public"

_HEAD = """# Who may call what

One scope opens each method; a client asks for the scopes of its token, and gets those it was made
with. The gateway and the service itself both check the scope. Written by
`python -m tools permissions` from the contracts: change it there.
"""


def permissions() -> None:
    """Renew the snapshot of the rights and the page about them from the contracts."""
    SNAPSHOT.write_text(json.dumps(table(), indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    Console().print(f"{len(table())} methods written to {SNAPSHOT} and {PAGE}")


def table() -> dict[str, str]:
    """Map each method, as `package.Service/Method`, to its scope, `public`, or `nobody`."""
    return {method.path.removeprefix("/"): _right(method) for method in contracts.load().methods}


def page() -> str:
    """Return the page: scopes first, then the methods of each service with their HTTP paths."""
    methods = contracts.load().methods
    lines = [_HEAD, "| scope | opens |", "|---|---|"]
    for scope in sorted({_right(method) for method in methods}):
        opened = [f"`{method.name}`" for method in methods if _right(method) == scope]
        lines.append(f"| `{scope}` | {', '.join(opened)} |")
    for service, group in groupby(methods, key=lambda method: method.service):
        lines += ["", f"## {service}", "", "| method | scope | HTTP |", "|---|---|---|"]
        lines += [
            f"| `{method.name}` | `{_right(method)}` | {_bindings(method)} |" for method in group
        ]
    return "\n".join(lines) + "\n"


def _right(method: contracts.Method) -> str:
    return PUBLIC if method.public else method.scope or "nobody"


def _bindings(method: contracts.Method) -> str:
    return "<br>".join(f"`{each.verb.upper()} {each.template}`" for each in method.bindings)
