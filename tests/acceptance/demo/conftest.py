"""A stack of the demo's own: its proof accounts for everything on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tools.demo.job import Gateway
from tools.demo.session import Login
from tools.stack import clients, layout, lifecycle
from tools.stack.composition import Composition


@pytest.fixture(scope="module")
async def own_stack(server_directory: Path) -> AsyncIterator[Composition]:
    """Start a stack of its own on free ports, and delete it afterwards."""
    place = layout.at(server_directory / "demo")
    yield await lifecycle.start(lifecycle.Options(layout=place, fixed_ports=False))
    lifecycle.delete(place)


@pytest.fixture(scope="module")
def own_gateway(own_stack: Composition) -> Gateway:
    return Gateway(
        address=own_stack.state.address("gateway"),
        admin=Login("admin", clients.secret_file("admin", own_stack.vault)),
        till=Login("pos-demo", clients.secret_file("pos-demo", own_stack.vault)),
        ledger_dsn=own_stack.database.dsn("tessera_ledger"),
    )
