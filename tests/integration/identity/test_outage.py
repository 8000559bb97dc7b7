"""What identity still does while its database is away."""

import asyncio
import secrets
from typing import Any

from tessera.identity.v1 import member_pb2
from tessera.identity.v1 import member_service_pb2 as messages

RECOVER_S_MAX = 20


async def status_of(identity: Any, path: str) -> int:
    async with identity.http.get(identity.url + path) as response:
        status: int = response.status
        return status


async def test_killed_database_stops_tokens_and_members_but_not_the_keys(
    identity: Any, postgres: Any
) -> None:
    """Public keys go on being served, everything else says UNAVAILABLE and then works again."""
    request = messages.RegisterMemberRequest(
        request_id=secrets.token_hex(8), card_number=secrets.token_hex(8)
    )
    member = (await identity.call(identity.members.RegisterMember, request)).member
    lookup = messages.LookupMemberRequest(key=member_pb2.MemberKey(member_id=member.member_id))
    postgres.process.kill()
    try:
        assert await status_of(identity, "/.well-known/jwks.json") == 200
        assert await status_of(identity, "/healthz") == 503
        for _ in range(10):  # more than the limit on wrong secrets allows
            status, body = await identity.grant("admin", identity.admin_secret)
            assert (status, body["error"]) == (503, "temporarily_unavailable")
        refusal = await identity.refusal(identity.members.LookupMember, lookup)
        assert refusal == ("UNAVAILABLE", "UNAVAILABLE")
    finally:
        await postgres.process.start()
    async with asyncio.timeout(RECOVER_S_MAX):
        while await status_of(identity, "/healthz") != 200:
            await asyncio.sleep(0.05)
    assert (await identity.grant("admin", identity.admin_secret))[0] == 200
    again = await identity.call(identity.members.RegisterMember, request)
    assert again.member == member
