"""Access tokens: the right ones pass once and are remembered, all others are refused."""

import base64
import hmac
import json

import pytest
from joserfc import jwk, jwt

from services.chassis import auth, config, errors

SETTINGS = config.AuthSettings()
NOW = 1_800_000_000.0


class Issuer:
    """Signs tokens, publishes keys, counts who asks, and can be away."""

    def __init__(self):
        self.keys = [jwk.ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})]
        self.fetches = 0
        self.is_away = False
        self.now = NOW

    async def fetch(self):
        self.fetches += 1
        if self.is_away:
            raise OSError("nobody home")
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def verifier(self):
        return auth.Verifier(SETTINGS, self.fetch, now=lambda: self.now)

    def token(self, *, key=None, header=None, **claims):
        key = key or self.keys[0]
        full = {
            "iss": SETTINGS.issuer,
            "aud": SETTINGS.audience,
            "sub": "cli_1",
            "client_id": "cli_1",
            "scope": "checkout members.lookup",
            "iat": int(self.now),
            "exp": int(self.now) + 600,
            **claims,
        }
        return jwt.encode(
            {"alg": "ES256", "kid": key.kid, "typ": "at+jwt", **(header or {})},
            {name: value for name, value in full.items() if value is not None},
            key,
            algorithms=["ES256", "Ed25519", "HS256", "none"],
        )


@pytest.fixture
def issuer():
    return Issuer()


async def test_good_token_names_its_caller(issuer):
    """Scopes and stores come out as sets."""
    caller = await issuer.verifier().verify(issuer.token(store_ids=["s1", "s2"]))
    assert caller == auth.Caller(
        "cli_1", frozenset({"checkout", "members.lookup"}), frozenset({"s1", "s2"})
    )
    assert caller.may_act_for("s1")
    assert not caller.may_act_for("s3")


async def test_token_without_stores_speaks_for_every_store(issuer):
    """The retailer's own systems are not bound to a store."""
    caller = await issuer.verifier().verify(issuer.token())
    assert caller.may_act_for("anything")


async def test_ed25519_is_accepted(issuer):
    """Both signature schemes of the contract with identity work."""
    issuer.keys = [jwk.OKPKey.generate_key("Ed25519", {"kid": "ed"})]
    token = issuer.token(header={"alg": "Ed25519"})
    assert (await issuer.verifier().verify(token)).client_id == "cli_1"


def _alg_none(issuer):
    head = {"alg": "none", "typ": "at+jwt", "kid": "one"}
    body = issuer.token().split(".")[1]
    return f"{_part(head)}.{body}."


def _signed_with_the_public_key(issuer):
    head = _part({"alg": "HS256", "typ": "at+jwt", "kid": "one"})
    signed = f"{head}.{issuer.token().split('.')[1]}"
    public = issuer.keys[0].as_pem(private=False)
    signature = hmac.digest(public, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _tampered(issuer):
    head, _, signature = issuer.token().split(".")
    body = _part({"iss": SETTINGS.issuer, "aud": SETTINGS.audience, "sub": "x", "exp": NOW + 9})
    return f"{head}.{body}.{signature}"


def _part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: "", "malformed"),
        (lambda _: "abc", "malformed"),
        (lambda _: "a.b.c", "malformed"),
        (lambda i: i.token() + "A", "signature|malformed"),
        (_alg_none, "malformed"),
        (_signed_with_the_public_key, "malformed"),
        (_tampered, "signature"),
        (lambda i: i.token(exp=int(NOW) - 60), "expired"),
        (lambda i: i.token(exp=None), "exp"),
        (lambda i: i.token(exp="tomorrow"), "malformed|exp"),
        (lambda i: i.token(nbf=int(NOW) + 60), "nbf|malformed"),
        (lambda i: i.token(aud="elsewhere"), "aud"),
        (lambda i: i.token(aud=None), "aud"),
        (lambda i: i.token(iss="somebody"), "iss"),
        (lambda i: i.token(sub=None), "sub"),
        (lambda i: i.token(scope=["checkout"]), "malformed"),
        (lambda i: i.token(store_ids="s1"), "malformed"),
        (lambda i: i.token(header={"typ": "JWT"}), "not an access token"),
        (lambda i: i.token(key=jwk.ECKey.generate_key("P-256", {"kid": "two"})), "key"),
        (lambda i: i.token(key=jwk.ECKey.generate_key("P-256", {"kid": "one"})), "signature"),
    ],
)  # fmt: skip
async def test_bad_token_is_refused(issuer, make, problem):
    """Whatever is wrong with a token, the answer is UNAUTHENTICATED and says which part."""
    verifier = issuer.verifier()
    await verifier.verify(issuer.token())
    with pytest.raises(errors.Unauthenticated, match=problem):
        await verifier.verify(make(issuer))


async def test_verified_token_is_remembered_until_it_expires(issuer):
    """The signature is checked once, the clock every time."""
    verifier = issuer.verifier()
    token = issuer.token(exp=int(NOW) + 60)
    caller = await verifier.verify(token)
    assert await verifier.verify(token) is caller
    issuer.now += 90
    with pytest.raises(errors.Unauthenticated, match="expired"):
        await verifier.verify(token)


async def test_keys_are_fetched_once_for_many_tokens(issuer):
    """The published keys are read at the first token and kept."""
    verifier = issuer.verifier()
    for number in range(10):
        await verifier.verify(issuer.token(sub=f"cli_{number}"))
    assert issuer.fetches == 1


async def test_new_key_is_fetched_when_a_token_names_it(issuer):
    """A rotation needs no restart."""
    verifier = issuer.verifier()
    await verifier.verify(issuer.token())
    issuer.keys.append(jwk.ECKey.generate_key("P-256", {"kid": "two"}))
    issuer.now += 10
    assert (await verifier.verify(issuer.token(key=issuer.keys[1]))).client_id == "cli_1"


async def test_made_up_keys_cannot_make_us_fetch_all_the_time(issuer):
    """Unknown key ids lead to one fetch in a while, not one a call."""
    verifier = issuer.verifier()
    await verifier.verify(issuer.token())
    issuer.now += 10
    for number in range(20):
        stranger = jwk.ECKey.generate_key("P-256", {"kid": f"x{number}"})
        with pytest.raises(errors.Unauthenticated, match="key"):
            await verifier.verify(issuer.token(key=stranger))
    assert issuer.fetches == 2


async def test_old_keys_stay_in_force_while_identity_is_away(issuer):
    """An outage of identity stops new tokens, not the tills that have one."""
    verifier = issuer.verifier()
    await verifier.verify(issuer.token())
    issuer.is_away = True
    issuer.now += 10 * SETTINGS.jwks_cache_s
    assert (await verifier.verify(issuer.token())).client_id == "cli_1"


async def test_without_any_key_the_service_is_unavailable(issuer):
    """A token that cannot be judged is not called bad."""
    issuer.is_away = True
    with pytest.raises(errors.Unavailable, match="identity"):
        await issuer.verifier().verify(issuer.token())


async def test_withdrawn_key_takes_effect_after_the_cache_time(issuer):
    """A stolen key does not live on in the memory of verified tokens."""
    verifier = issuer.verifier()
    token = issuer.token(exp=int(NOW) + 86_400)
    await verifier.verify(token)
    issuer.keys = [jwk.ECKey.generate_key("P-256", {"kid": "two"})]
    issuer.now += SETTINGS.jwks_cache_s + 1
    await verifier.verify(token)  # starts the refresh, still with the old keys
    await verifier._refreshing
    issuer.now += SETTINGS.jwks_cache_s + 1
    with pytest.raises(errors.Unauthenticated, match="key"):
        await verifier.verify(token)


async def test_garbage_from_the_key_endpoint_changes_nothing(issuer):
    """A broken document is like no document."""
    verifier = issuer.verifier()
    await verifier.verify(issuer.token())
    key, issuer.keys = issuer.keys[0], []
    issuer.now += 10 * SETTINGS.jwks_cache_s
    assert (await verifier.verify(issuer.token(key=key))).client_id == "cli_1"


def test_outside_of_calls_nobody_is_the_caller():
    """Work in the background has no rights that a call had."""
    with pytest.raises(LookupError):
        auth.current()
