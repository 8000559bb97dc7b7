"""Commands too small for a module of their own."""

from rich.console import Console

from tools import contracts


def generate() -> None:
    """Generate the Python stubs and descriptor sets from the contracts in protos/."""
    Console().print(f"{contracts.generate()} contracts compiled into {contracts.PROTOS}")
