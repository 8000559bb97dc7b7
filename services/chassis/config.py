"""Settings: one file an installation, environment variables over it, nothing unknown accepted."""

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

SHARED = "shared"

Port = Field(ge=0, le=65535)


class ConfigError(Exception):
    """The settings cannot be used; the message is one sentence that names the culprit."""


class Settings(BaseModel):
    """A section of settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Settings):
    """How a role answers calls. A port of 0 takes any free one."""

    host: str = "127.0.0.1"
    port: int = Port
    metrics_port: int = Port
    max_connection_age_s: int = Field(default=300, gt=0)
    max_connection_age_grace_s: int = Field(default=30, gt=0)
    concurrency_limit: int = Field(default=256, gt=0)
    queue_ms_max: int = Field(default=50, ge=0)
    deadline_floor_ms: int = Field(default=100, ge=0)
    drain_s: int = Field(default=25, ge=0)
    access_log: Literal["errors", "all", "none"] = "errors"
    slow_ms: int = Field(default=1000, gt=0)


class DatabaseSettings(Settings):
    """Where a role's own PostgreSQL database is; `owner` is used for migrations alone."""

    host: str = "127.0.0.1"
    port: int = Field(default=5432, gt=0, le=65535)
    database: str
    user: str
    password_file: Path | None = None
    owner: str
    owner_password_file: Path | None = None
    pool_size: int = Field(default=8, gt=0)
    statement_s_max: int = Field(default=10, gt=0)
    lock_s_max: int = Field(default=5, gt=0)


class HotstoreSettings(Settings):
    """Where Valkey or Redis is."""

    url: str = "redis://127.0.0.1:6379/0"
    password_file: Path | None = None
    pool_size: int = Field(default=32, gt=0)
    timeout_ms: int = Field(default=1000, gt=0)


class AuthSettings(Settings):
    """Whose tokens are trusted, and how the role gets one of its own."""

    issuer: str = "tessera-identity"
    audience: str = "tessera"
    jwks_url: str = ""
    jwks_cache_s: int = Field(default=300, gt=0)
    token_url: str = ""
    client_id: str = ""
    client_secret_file: Path | None = None


class TelemetrySettings(Settings):
    """What a role tells about itself; without an endpoint no traces are made."""

    otlp_endpoint: str = ""
    sampling_ratio: float = Field(default=0.05, ge=0, le=1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"


class RoleSettings(Settings):
    """What every role needs; a role's own `Settings` adds its fields."""

    server: ServerSettings
    database: DatabaseSettings
    hotstore: HotstoreSettings = HotstoreSettings()
    auth: AuthSettings = AuthSettings()
    telemetry: TelemetrySettings = TelemetrySettings()


T = TypeVar("T", bound=Settings)


def load(
    cls: type[T],
    role: str,
    path: Path | None,
    *,
    sections: Collection[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> T:
    """Return the settings of a role: defaults, then `shared`, then its section, then environment.

    `sections` lists the sections that the file may have (None: any). Variables are called
    `TESSERA_<ROLE>__<KEY>__<SUBKEY>`. Raises ConfigError with one sentence.
    """
    document = {} if path is None else _read(path, sections)
    values = _merge(_shared(cls, document), _section(document, role))
    variables = os.environ if environment is None else environment
    prefix = f"TESSERA_{role.upper()}__"
    _refuse_unknown_variables(cls, prefix, variables)
    try:
        return _decode(cls, values, prefix, variables)
    except ValidationError as error:
        # A misspelt key shows up twice, as one unknown and one missing: the unknown one says more.
        problems = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        raise ConfigError(_sentence(cls, role, problems[0])) from None


def secret(path: Path) -> str:
    """Return what a secret file holds, without the newline that editors leave at its end.

    Raises ConfigError when the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"The secret file {path} cannot be read: {error.strerror}.") from None


def _decode(cls: type[T], values: Any, prefix: str, variables: Mapping[str, str]) -> T:
    class Environment(BaseSettings):
        @classmethod
        def settings_customise_sources(  # type: ignore[override]  # the unused sources share a name
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            **_: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            source = EnvSettingsSource(
                settings_cls, env_prefix=prefix, env_nested_delimiter="__", case_sensitive=False
            )
            source.env_vars = {name.lower(): value for name, value in variables.items()}
            return source, init_settings

    # The settings class itself stays free of the environment: tests build it from arguments.
    decoder = create_model(cls.__name__, __base__=(cls, Environment))
    decoded = decoder(**values)
    return cls.model_construct(**{name: getattr(decoded, name) for name in cls.model_fields})


def _read(path: Path, sections: Collection[str] | None) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"The settings file {path} is not valid YAML: {reason}.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"The settings file {path} must hold sections, not {_kind(document)}.")
    known = None if sections is None else {SHARED, *sections}
    for name in document:
        if known is not None and name not in known:
            raise ConfigError(f"{name} is not a section of the settings{_hint(str(name), known)}.")
    return document


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name) or {}
    if not isinstance(section, dict):
        raise ConfigError(f"{name} must hold settings, not {_kind(section)}.")
    return section


def _shared(cls: type[Settings], document: dict[str, Any]) -> dict[str, Any]:
    """Return the shared sections that this role uses; one that no role knows is refused."""
    shared = _section(document, SHARED)
    known = {*RoleSettings.model_fields, *cls.model_fields}
    for name in shared:
        if name not in known:
            raise ConfigError(f"{SHARED}.{name} is not a known setting{_hint(str(name), known)}.")
    return {name: value for name, value in shared.items() if name in cls.model_fields}


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[name] = _merge(cast("dict[str, Any]", under), value) if both else value
    return merged


def _refuse_unknown_variables(
    cls: type[Settings], prefix: str, variables: Mapping[str, str]
) -> None:
    for name in variables:
        if name.upper().startswith(prefix):
            field = name[len(prefix) :].lower().split("__")[0]
            if field not in cls.model_fields:
                hint = _hint(field, cls.model_fields)
                raise ConfigError(f"The variable {name} names no known setting{hint}.")


def _sentence(cls: type[Settings], role: str, error: ErrorDetails) -> str:
    place = ".".join([role, *map(str, error["loc"])])
    if error["type"] == "missing":
        return f"{place} is missing from the settings."
    if error["type"] == "extra_forbidden":
        hint = _hint(str(error["loc"][-1]), _siblings(cls, error["loc"][:-1]))
        return f"{place} is not a known setting{hint}."
    if error["type"] == "value_error":  # a rule of ours over several settings, in its own words
        return f"{place}: {error['ctx']['error']}."
    problem = error["msg"][:1].lower() + error["msg"][1:]
    return f"{place} is {error['input']!r}, but {problem}."


def _siblings(cls: type[BaseModel], path: tuple[int | str, ...]) -> Collection[str]:
    for name in path:
        field = cls.model_fields.get(str(name))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ()
        cls = annotation
    return cls.model_fields


def _hint(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", int: "a number"}.get(type(value), "a single value")
