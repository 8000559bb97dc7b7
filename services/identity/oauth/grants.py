"""Token requests as RFC 6749 has them: read from headers and form, or refused in its words."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_plus

GRANT_TYPE = "client_credentials"

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")


class Refused(Exception):  # noqa: N818  a refusal is an answer, not a fault
    """The token endpoint refused, with an error code of RFC 6749, section 5.2."""

    def __init__(
        self, error: str, description: str, *, status: int = 400, retry_after_s: int | None = None
    ) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Grant:
    """A request for a token; no scopes named means all that the client may have."""

    client_id: str
    client_secret: str
    scopes: frozenset[str] | None


def invalid_client() -> Refused:
    """Return the refusal of a client that is unknown, revoked, or wrong about its secret."""
    return Refused("invalid_client", "The client is unknown or its secret is wrong.", status=401)


def slow_down(*, retry_after_s: int) -> Refused:
    """Return the refusal of a client that tried too many wrong secrets."""
    return Refused(
        "slow_down",
        "Too many wrong secrets; wait before the next attempt.",
        status=429,
        retry_after_s=retry_after_s,
    )


def read(form: Iterable[tuple[str, str]], *, authorization: str | None) -> Grant:
    """Return what a token request asks for.

    The client names itself by HTTP Basic or in the form, never both. Raises Refused with
    invalid_request, unsupported_grant_type, invalid_client or invalid_scope.
    """
    fields = _fields(form)
    grant_type = fields.get("grant_type")
    if grant_type is None:
        raise Refused("invalid_request", "grant_type is missing.")
    if grant_type != GRANT_TYPE:
        raise Refused("unsupported_grant_type", f"Only {GRANT_TYPE} is supported.")
    client_id, client_secret = _credentials(fields, authorization)
    scope = fields.get("scope")
    if scope is not None and _SCOPE.fullmatch(scope) is None:
        raise Refused("invalid_scope", "The scope is malformed.")
    return Grant(
        client_id=client_id,
        client_secret=client_secret,
        scopes=None if scope is None else frozenset(scope.split(" ")),
    )


def _fields(form: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the form's fields: an empty one counts as left out, a repeated one is an error."""
    fields: dict[str, str] = {}
    seen = set()
    for name, value in form:
        if name in seen:
            raise Refused("invalid_request", "A parameter is given twice.")
        seen.add(name)
        if value:
            fields[name] = value
    return fields


def _credentials(fields: dict[str, str], authorization: str | None) -> tuple[str, str]:
    client_id, secret = fields.get("client_id"), fields.get("client_secret")
    if authorization is None:
        if client_id is None or secret is None:
            raise invalid_client()
        return client_id, secret
    if secret is not None:
        raise Refused("invalid_request", "The client authenticates in two ways at once.")
    basic = _basic(authorization)
    if client_id not in {None, basic[0]}:
        raise Refused("invalid_request", "Two different clients are named.")
    return basic


def _basic(authorization: str) -> tuple[str, str]:
    """Return what HTTP Basic carries; RFC 6749 has both halves form-encoded inside of it."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise invalid_client()
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_client() from None
    client_id, separator, secret = text.partition(":")
    if not separator:
        raise invalid_client()
    return unquote_plus(client_id), unquote_plus(secret)
