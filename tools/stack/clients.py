"""The API clients that exist from the first start: an administrator, a till, our own services."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.stack.vault import Vault


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client of the platform and what its tokens allow."""

    client_id: str
    display_name: str
    scopes: tuple[str, ...]


CLIENTS = (
    Client(client_id="admin", display_name="Administrator", scopes=("*",)),
    Client(
        client_id="pos-demo",
        display_name="Demonstration till",
        scopes=(
            "checkout",
            "coupons.redeem",
            "giftcards.activate",
            "giftcards.redeem",
            "members.lookup",
            "members.write",
        ),
    ),
    Client(
        client_id="promotions",
        display_name="Promotions service",
        scopes=(
            "adjustments.read",
            "assets.write",
            "coupons.draw",
            "coupons.redeem",
            "ledger.post",
            "ledger.read",
            "members.context",
        ),
    ),
)


def secret_file(client_id: str, vault: Vault) -> Path:
    """Return the file of a client's secret."""
    return vault.file(f"client-{client_id}")


def settings(vault: Vault) -> list[dict[str, Any]]:
    """Return the clients as identity's settings list them."""
    return [
        {
            "client_id": client.client_id,
            "display_name": client.display_name,
            "secret_file": str(secret_file(client.client_id, vault)),
            "scopes": list(client.scopes),
        }
        for client in CLIENTS
    ]
