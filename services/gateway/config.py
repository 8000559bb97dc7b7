"""Settings of the gateway: where it listens, whom it forwards to, how much it lets through."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.chassis import config

ConfigError = config.ConfigError

_MEBIBYTE = 1024 * 1024


class Address(config.Settings):
    """A host name or an IP address, and a port."""

    host: str = "127.0.0.1"
    port: int = Field(gt=0, le=65535)


class TlsSettings(config.Settings):
    """The certificate chain and the private key that the listener shows, as PEM files."""

    certificate_file: Path
    key_file: Path


class LimitSettings(config.Settings):
    """How much one gateway process lets through before it refuses."""

    calls_per_second: int = Field(default=10_000, gt=0)
    client_calls_per_second: int = Field(default=2_000, gt=0)
    token_requests_per_second: int = Field(default=50, gt=0)
    address_token_requests_per_second: int = Field(default=10, gt=0)
    remembered_clients_max: int = Field(default=10_000, gt=0)
    request_bytes_max: int = Field(default=4 * _MEBIBYTE, gt=0)
    connections_max: int = Field(default=10_000, gt=0)
    streams_per_connection_max: int = Field(default=256, gt=0)
    heap_bytes_max: int = Field(default=1024 * _MEBIBYTE, gt=0)
    upstream_requests_max: int = Field(default=1024, gt=0)


class Settings(config.Settings):
    """The section `gateway`, with the shared sections `auth` and `telemetry`.

    `upstreams` maps a role to the address of its gRPC server. `trusted_hops` counts the proxies in
    front of the gateway whose `x-forwarded-for` is believed. `trusted_ca_file` holds the
    authorities behind the certificates of https addresses.
    """

    listener: Address = Address(port=8080)
    admin_port: int = Field(default=9901, gt=0, le=65535)
    metrics: Address = Address(port=9100)
    upstreams: dict[str, Address]
    auth: config.AuthSettings
    telemetry: config.TelemetrySettings = config.TelemetrySettings()
    limits: LimitSettings = LimitSettings()
    cors_origins: tuple[str, ...] = ()
    trusted_hops: int = Field(default=0, ge=0)
    health_interval_s: int = Field(default=5, gt=0)
    access_log: Literal["errors", "all", "none"] = "errors"
    tls: TlsSettings | None = None
    trusted_ca_file: Path = Path("/etc/ssl/certs/ca-certificates.crt")


def load(path: Path | None) -> Settings:
    """Return the gateway's settings from a file and the environment; raises ConfigError."""
    return config.load(Settings, "gateway", path)
