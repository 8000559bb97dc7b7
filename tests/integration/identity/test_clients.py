"""Clients through the running service."""

import secrets
from typing import Any

import pytest
from tessera.identity.v1 import client_pb2, member_service_pb2
from tessera.identity.v1 import client_service_pb2 as messages


def creation(**fields: Any) -> messages.CreateClientRequest:
    defaults = {
        "client_id": f"made-{secrets.token_hex(4)}",
        "display_name": "Made",
        "scopes": ["members.lookup"],
    }
    return messages.CreateClientRequest(**{**defaults, **fields})


async def test_new_client_gets_tokens_with_its_scopes(identity: Any) -> None:
    """The secret shown once opens the token endpoint, and the database keeps only its hash."""
    request = creation(scopes=["members.write", "members.lookup"], store_ids=["b", "a"])
    made = await identity.call(identity.clients.CreateClient, request)
    assert made.client.scopes == ["members.lookup", "members.write"]
    assert made.client.store_ids == ["a", "b"]
    assert made.client.state == client_pb2.CLIENT_STATE_ACTIVE
    assert len(made.client_secret) >= 43
    status, body = await identity.grant(request.client_id, made.client_secret)
    assert (status, body["scope"]) == (200, "members.lookup members.write")
    rows = await identity.db.fetch("SELECT secret_hash FROM client_secrets")
    assert made.client_secret.encode() not in b"".join(row["secret_hash"] for row in rows)


async def test_client_is_made_once(identity: Any) -> None:
    """A name that exists is refused, and its owner's secret goes on working."""
    request = creation()
    made = await identity.call(identity.clients.CreateClient, request)
    refusal = await identity.refusal(identity.clients.CreateClient, request)
    assert refusal == ("ALREADY_EXISTS", "CLIENT_EXISTS")
    assert (await identity.grant(request.client_id, made.client_secret))[0] == 200


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"scopes": ["members.lookpu"]}, "SCOPE_UNKNOWN"),
        ({"scopes": []}, "INVALID_REQUEST"),
        ({"scopes": ["*"]}, "INVALID_REQUEST"),
        ({"client_id": "Wrong_Id"}, "INVALID_REQUEST"),
        ({"display_name": ""}, "INVALID_REQUEST"),
        ({"store_ids": [""]}, "INVALID_REQUEST"),
        ({"store_ids": ["a\x00b"]}, "INVALID_REQUEST"),
        ({"display_name": "\x00"}, "INVALID_REQUEST"),
    ],
)
async def test_bad_client_is_refused(identity: Any, fields: dict[str, Any], reason: str) -> None:
    """Unknown scopes and malformed names are told apart, and nothing is made."""
    request = creation(**fields)
    refusal = await identity.refusal(identity.clients.CreateClient, request)
    assert refusal == ("INVALID_ARGUMENT", reason)
    row = await identity.db.fetchrow(
        "SELECT client_id FROM clients WHERE client_id = $1", request.client_id
    )
    assert row is None


async def test_rotated_secret_overlaps_as_long_as_asked(identity: Any) -> None:
    """With an overlap both secrets work; without one the old stops at once."""
    client_id, first = await identity.client("members.lookup")
    rotate = identity.clients.RotateClientSecret
    second = await identity.call(
        rotate, messages.RotateClientSecretRequest(client_id=client_id, overlap_seconds=3600)
    )
    assert [(await identity.grant(client_id, s))[0] for s in (first, second.client_secret)] == [
        200,
        200,
    ]
    third = await identity.call(
        rotate, messages.RotateClientSecretRequest(client_id=client_id, overlap_seconds=0)
    )
    answers = [
        (await identity.grant(client_id, secret))[0]
        for secret in (first, second.client_secret, third.client_secret)
    ]
    assert answers == [401, 401, 200]


async def test_revoked_client_gets_no_token_and_no_new_secret(identity: Any) -> None:
    """Revoking is for good, and doing it again changes nothing."""
    client_id, secret = await identity.client("members.lookup")
    for _ in range(2):
        revoked = await identity.call(
            identity.clients.RevokeClient, messages.RevokeClientRequest(client_id=client_id)
        )
        assert revoked.client.state == client_pb2.CLIENT_STATE_REVOKED
    status, body = await identity.grant(client_id, secret)
    assert (status, body["error"]) == (401, "invalid_client")
    refusal = await identity.refusal(
        identity.clients.RotateClientSecret,
        messages.RotateClientSecretRequest(client_id=client_id),
    )
    assert refusal == ("FAILED_PRECONDITION", "CLIENT_REVOKED")


async def test_unknown_client_is_a_typed_refusal(identity: Any) -> None:
    """Rotation and revocation of nobody say so."""
    for method, request in (
        (
            identity.clients.RotateClientSecret,
            messages.RotateClientSecretRequest(client_id="nobody"),
        ),
        (identity.clients.RevokeClient, messages.RevokeClientRequest(client_id="nobody")),
    ):
        assert await identity.refusal(method, request) == ("NOT_FOUND", "CLIENT_NOT_FOUND")


async def test_every_act_is_in_the_audit_log_and_stays_there(identity: Any) -> None:
    """Who did what to which client; the running service cannot change a line of it."""
    client_id, _ = await identity.client("members.lookup")
    await identity.call(
        identity.clients.RotateClientSecret,
        messages.RotateClientSecretRequest(client_id=client_id, overlap_seconds=60),
    )
    await identity.call(
        identity.clients.RevokeClient, messages.RevokeClientRequest(client_id=client_id)
    )
    acts = await identity.db.fetch(
        "SELECT client_id, action, detail FROM audit_entries WHERE subject_id = $1 "
        "ORDER BY audit_id",
        client_id,
    )
    assert [tuple(act) for act in acts] == [
        ("admin", "client.create", '{"scopes": ["members.lookup"], "store_ids": []}'),
        ("admin", "client.rotate_secret", '{"overlap_seconds": 60}'),
        ("admin", "client.revoke", "{}"),
    ]
    for statement in ("DELETE FROM audit_entries", "UPDATE audit_entries SET action = 'a.b'"):
        with pytest.raises(Exception, match="permission denied"):
            await identity.db.execute(statement)


async def test_clients_are_listed_page_by_page(identity: Any) -> None:
    """Pages of any size together hold every client once, by name."""
    for _ in range(5):
        await identity.client("members.lookup")
    expected = [
        row["client_id"]
        for row in await identity.db.fetch("SELECT client_id FROM clients ORDER BY client_id")
    ]
    found: list[str] = []
    request = messages.ListClientsRequest(page_size=2)
    while True:
        page = await identity.call(identity.clients.ListClients, request)
        found += [client.client_id for client in page.clients]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == expected
    whole = await identity.call(identity.clients.ListClients, messages.ListClientsRequest())
    assert [client.client_id for client in whole.clients] == expected


@pytest.mark.parametrize("page_token", ["x", "AAAA", "Y2xpZW50cw", "é", "%%%"])
async def test_made_up_page_token_is_refused(identity: Any, page_token: str) -> None:
    """Only tokens that the list gave out are taken back."""
    refusal = await identity.refusal(
        identity.clients.ListClients, messages.ListClientsRequest(page_token=page_token)
    )
    assert refusal == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_scopes_are_enforced(identity: Any) -> None:
    """A till's token opens the till's methods; without a token nothing opens."""
    token = await identity.token_of(*await identity.client("members.lookup"))
    get = member_service_pb2.GetMemberRequest(member_id="mem_" + "0" * 32)
    assert await identity.refusal(identity.members.GetMember, get, token=token) == (
        "PERMISSION_DENIED",
        "PERMISSION_DENIED",
    )
    assert await identity.refusal(identity.clients.CreateClient, creation(), token=token) == (
        "PERMISSION_DENIED",
        "PERMISSION_DENIED",
    )
    assert await identity.refusal(identity.members.GetMember, get, token="none") == (
        "UNAUTHENTICATED",
        "UNAUTHENTICATED",
    )
