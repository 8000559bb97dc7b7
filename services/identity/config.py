"""What an operator may set about identity."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from services.chassis import attempts, config
from services.identity import engine

_CLIENT_ID = r"^[a-z0-9][a-z0-9.-]{2,63}$"
_STORE_ID = r"^[^\x00-\x1f]{1,64}$"
_SCOPES = r"^(\*|[a-z]+(\.([a-z]+|\*))?)$"


class HttpSettings(config.Settings):
    """The port of tokens and keys.

    `forwarded_hops` is how many proxies of our own append to `X-Forwarded-For`.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=50061, ge=0, le=65535)
    body_bytes_max: int = Field(default=8192, gt=0)
    forwarded_hops: int = Field(default=0, ge=0)


class TokenSettings(config.Settings):
    """How long tokens live, how keys follow each other, and how many wrong secrets are too many.

    `public_url` is the address under which clients reach the token endpoint; empty answers with
    the address that was asked.
    """

    public_url: str = ""
    life_s: int = Field(default=900, gt=0, le=86_400)
    rotation_s: int = Field(default=30 * 86_400, gt=0)
    publish_lead_s: int = Field(default=900, ge=600)
    retire_margin_s: int = Field(default=600, ge=0)
    reload_s: int = Field(default=30, gt=0)
    failures_burst: int = Field(default=10, gt=0)
    failure_interval_s: int = Field(default=6, gt=0)

    @property
    def key_policy(self) -> engine.keys.Policy:
        """How long each part of a key's life takes."""
        return engine.keys.Policy(
            publish_lead=timedelta(seconds=self.publish_lead_s),
            rotation=timedelta(seconds=self.rotation_s),
            token_life=timedelta(seconds=self.life_s),
            retire_margin=timedelta(seconds=self.retire_margin_s),
        )

    @property
    def attempts_max(self) -> attempts.Limit:
        """How many wrong secrets are too many."""
        return attempts.Limit(
            burst=self.failures_burst, interval=timedelta(seconds=self.failure_interval_s)
        )


class ClientSettings(config.Settings):
    """A client that exists from the first start on.

    A scope may end in `.*` for all of a resource, or be `*` for all there are. The file holds at
    least 32 characters and is the only way to change this client's secret for good.
    """

    client_id: str = Field(pattern=_CLIENT_ID)
    display_name: str = Field(default="", max_length=100)
    secret_file: Path
    scopes: tuple[Annotated[str, Field(pattern=_SCOPES)], ...] = Field(min_length=1)
    store_ids: tuple[Annotated[str, Field(pattern=_STORE_ID)], ...] = ()


class Settings(config.RoleSettings):
    """Everything about identity. `master_key_file` holds 32 random bytes as base64."""

    master_key_file: Path
    http: HttpSettings = HttpSettings()
    tokens: TokenSettings = TokenSettings()
    clients: tuple[ClientSettings, ...] = ()
    secret_overlap_s: int = Field(default=86_400, ge=0)
    phone_region: str = Field(default="RU", pattern=r"^[A-Z]{2}$")
    language_code: str = Field(default="en", pattern=r"^(en|ru)$")
    virtual_card_prefix: str = Field(default="29", pattern=r"^[0-9]{1,6}$")

    @model_validator(mode="after")
    def _publish_before_use(self) -> Self:
        """Refuse keys that would sign before every verifier could have seen them."""
        needed = self.auth.jwks_cache_s + self.tokens.reload_s
        if self.tokens.publish_lead_s < needed:
            raise ValueError(
                f"tokens.publish_lead_s must be at least {needed}: auth.jwks_cache_s and reload_s"
            )
        return self
