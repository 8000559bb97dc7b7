"""ClientService: handing out and taking back the credentials of programs."""

import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from tessera.identity.v1 import client_service_pb2 as messages
from tessera.identity.v1 import client_service_pb2_grpc

from services.chassis import clock, pages, timestamps
from services.identity import engine, errors, storage, vault
from services.identity.servicer import wire
from services.identity.servicer.acts import act

SECRET_BYTES = 32
_PAGE_SIZE = 100
_CLIENTS = "clients"
_LISTS = pages.Pages(errors.PageTokenInvalid)


class ClientServicer(client_service_pb2_grpc.ClientServiceServicer):
    """Answers the calls of ClientService. Secrets pass through it and are kept as hashes alone."""

    def __init__(
        self,
        clients: storage.ClientStorage,
        box: vault.Vault,
        *,
        scopes: Collection[str],
        now: clock.Clock,
    ) -> None:
        self._storage = clients
        self._vault = box
        self._scopes = scopes
        self._now = now

    async def CreateClient(
        self, request: messages.CreateClientRequest, context: Any
    ) -> messages.CreateClientResponse:
        """Make a client and show its secret, once."""
        now = self._now()
        client = engine.clients.create(
            client_id=request.client_id,
            display_name=request.display_name,
            scopes=request.scopes,
            store_ids=request.store_ids,
            known=self._scopes,
            now=now,
        )
        secret, secret_hash = self._make_secret(client.client_id)
        async with self._storage.transaction() as tx:
            if not await tx.insert(client):
                raise errors.ClientExists(client_id=client.client_id)
            await tx.replace_secret(client.client_id, secret_hash, old_expire_time=now, now=now)
            rights = {"scopes": list(client.scopes), "store_ids": list(client.store_ids)}
            await tx.record(act("client.create", client.client_id, rights, now=now))
        return messages.CreateClientResponse(client=wire.show_client(client), client_secret=secret)

    async def RotateClientSecret(
        self, request: messages.RotateClientSecretRequest, context: Any
    ) -> messages.RotateClientSecretResponse:
        """Give a client a new secret."""
        now = self._now()
        expire_time = now + timedelta(seconds=request.overlap_seconds)
        secret, secret_hash = self._make_secret(request.client_id)
        async with self._storage.transaction() as tx:
            client = await self._lock(tx, request.client_id)
            engine.clients.check_active(client)
            await tx.replace_secret(
                client.client_id, secret_hash, old_expire_time=expire_time, now=now
            )
            overlap = {"overlap_seconds": request.overlap_seconds}
            await tx.record(act("client.rotate_secret", client.client_id, overlap, now=now))
        return messages.RotateClientSecretResponse(
            client_secret=secret, old_secret_expire_time=timestamps.show(expire_time)
        )

    async def RevokeClient(
        self, request: messages.RevokeClientRequest, context: Any
    ) -> messages.RevokeClientResponse:
        """Give a client no token any more; a revoked client stays revoked."""
        async with self._storage.transaction() as tx:
            client = await self._lock(tx, request.client_id)
            revoked = engine.clients.revoke(client)
            if revoked != client:
                await tx.revoke(client.client_id, now=self._now())
                await tx.record(act("client.revoke", client.client_id, now=self._now()))
        return messages.RevokeClientResponse(client=wire.show_client(revoked))

    async def ListClients(
        self, request: messages.ListClientsRequest, context: Any
    ) -> messages.ListClientsResponse:
        """List clients by name."""
        size = request.page_size or _PAGE_SIZE
        after = _LISTS.position(_CLIENTS, request.page_token, pages.text) or ""
        found = await self._storage.list_after(after, limit=size + 1)
        page, rest = found[:size], found[size:]
        return messages.ListClientsResponse(
            clients=[wire.show_client(client) for client in page],
            next_page_token=_LISTS.token(_CLIENTS, page[-1].client_id) if rest else "",
        )

    async def _lock(self, tx: storage.ClientTransaction, client_id: str) -> engine.clients.Client:
        client = await tx.lock(client_id)
        if client is None:
            raise errors.ClientNotFound(client_id=client_id)
        return client

    def _make_secret(self, client_id: str) -> tuple[str, bytes]:
        secret = secrets.token_urlsafe(SECRET_BYTES)
        return secret, self._vault.hash_secret(client_id, secret)
